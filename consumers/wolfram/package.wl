(* ::Package:: *)

(* @package@: the net @name@ as a NetGraph, written by ganport.
   Its arrays: @weights@, beside this file. No Wolfram kernel has run it where it was written:
   run @check@ once where you use it. *)

BeginPackage["Ganport`@builder@`"]

@builder@::usage = @usage@;

@builder@::arguments = "Rules are wanted, as in @builder@[\"Ports\" -> \"Arrays\"], not `1`.";
@builder@::option = "`1` is no option of @builder@; \"ImageSize\" and \"Ports\" are.";
@builder@::size = "`1` is no size of this net. \"ImageSize\" is {width, height}, @size_rule@.";
@builder@::ports = "`1` is no kind of port. \"Ports\" is \"Images\" or \"Arrays\".";
@builder@::version = "This net needs version `1` of the Wolfram Language or later; this is `2`.";
@builder@::weights = "`1` is missing, or is not the file that belongs to this package.";

@run@::usage = @run_usage@;

@run@::images = "`1` images are wanted, one for each of `2`.";
@run@::size = "`1` is no size of this net: sides are `2`.";
@run@::ports = "The inputs or outputs have other channels than images: use @builder@.";
@run@::route = "\"Route\" is Automatic, \"NetGraph\" or \"ONNX\", not `1`.";
@run@::failed = "The route `1` gives no image in this version; run " <> @check@ <> " to see which does.";

Begin["`Private`"]

defaults = {"ImageSize" -> @default_size@, "Ports" -> "Images"};

Options[@builder@] = defaults;

folder = If[$InputFileName === "", Directory[], DirectoryName[ExpandFileName[$InputFileName]]];

weightsFile = FileNameJoin[{folder, @weights@}];

weightNames = {
@weight_names@
};

@builder@[arguments___] := Module[{settings = readSettings[Flatten[{arguments}]], unknown},
  Which[
    $VersionNumber < @version@, (Message[@builder@::version, @version@, $VersionNumber]; $Failed),
    settings === $Failed, complain["arguments", {arguments}],
    (unknown = Complement[Keys[settings], Keys[defaults]]) =!= {}, complain["option", First[unknown]],
    ! sizeQ[settings["ImageSize"]], complain["size", settings["ImageSize"]],
    ! MemberQ[{"Images", "Arrays"}, settings["Ports"]], complain["ports", settings["Ports"]],
    True, build[readWeights[weightsFile], settings["ImageSize"], settings["Ports"]]
  ]
]

complain[message_, met_] := (Message[MessageName[@builder@, message], met]; $Failed)

(* The later of two rules for one option holds; ImageSize is taken for "ImageSize". *)
readSettings[rules : {(_Rule | _RuleDelayed) ...}] := Association @@ Join[
  defaults,
  Replace[rules, (Rule | RuleDelayed)[option_, value_] :> (ToString[option] -> value), {1}]
]

readSettings[_] := $Failed

sizeQ[size_] := @size_test@

readWeights[file_] := Module[{weights = Quiet[Import[file, "WXF"]]},
  If[AssociationQ[weights] && Complement[weightNames, Keys[weights]] === {}, Map[asArray, weights], complain["weights", file]]
]

build[$Failed, _, _] := $Failed

build[weights_, size_, ports_] := NetGraph[layers[weights], connections, Sequence @@ DeleteCases[{
@port_options@
}, None]]

(* From photo to photo. Inputs and outputs are {name, channels}. *)
inputs = {@input_ports@};
outputs = {@output_ports@};

Options[@run@] = {"Route" -> Automatic};

@run@[images___?ImageQ, rules : (_Rule | _RuleDelayed) ...] := Module[
  {route = Last[Replace[{Automatic, rules}, (Rule | RuleDelayed)["Route", value_] :> value, {1}]], old, new, result},
  Which[
    ! MatchQ[Join[inputs, outputs][[All, 2]], {(1 | 3) ..}], complainRun["ports"],
    Length[{images}] =!= Length[inputs], complainRun["images", Length[inputs], inputs[[All, 1]]],
    ! MemberQ[{Automatic, "NetGraph", "ONNX"}, route], complainRun["route", route],
    Length[Union[Map[ImageDimensions, {images}]]] =!= 1, complainRun["size", Map[ImageDimensions, {images}], "the same for all images"],
    old = ImageDimensions[First[{images}]]; new = Map[roundUp, old];
    ! sizeQ[new] || AnyTrue[new - old, # < 0 &] || AnyTrue[2 old - new, # < 1 &], complainRun["size", old, @size_words@],
    True,
    route = If[route === Automatic, bestRoute[], route];
    result = runRoute[route, Association @@ MapThread[#1[[1]] -> preparePlanes[#1, #2, Reverse[new]] &, {inputs, {images}}], new];
    If[MatchQ[Dimensions[result], {_, _, _}], makeImage[result, Reverse[old]], complainRun["failed", route]]
  ]
]

@run@[___] := complainRun["images", Length[inputs], inputs[[All, 1]]]

complainRun[message_, met___] := (Message[MessageName[@run@, message], met]; $Failed)

roundUp[side_] := @round_up@

(* A mask is 0 or 1 everywhere; the rest keeps its levels. Sides are filled up by reflection, as the pipeline does. *)
preparePlanes[{name_, channels_}, image_, {height_, width_}] := Module[{planes = imagePlanes[image, channels]},
  If[name === "mask", planes = UnitStep[planes - 0.5]];
  Map[#[[reflected[Length[#], height], reflected[Length[First[#]], width]]] &, planes]
]

imagePlanes[image_, 1] := {ImageData[ColorConvert[image, "Grayscale"]]}
imagePlanes[image_, 3] := With[{data = ImageData[ColorConvert[image, "RGB"]]}, Table[data[[All, All, channel]], {channel, 3}]]

reflected[length_, wanted_] := Table[If[i <= length, i, 2 length - i], {i, wanted}]

bestRoute[] := If[Names["System`NetExternalObject"] =!= {} && FileExistsQ[onnxFile], "ONNX", "NetGraph"]

onnxFile = FileNameJoin[{folder, @onnx@}];

runRoute["NetGraph", fed_, size_] := takeResult[Quiet[@builder@["Ports" -> "Arrays", "ImageSize" -> size][fed]]]
runRoute["ONNX", fed_, _] := takeResult[Quiet[Import[onnxFile, {"ONNX", "NetExternalObject"}][Map[List, fed]]]]

(* Of several outputs the first; of a batch its only item. *)
takeResult[results_Association] := takeResult[
  If[MemberQ[Keys[results], outputs[[1, 1]]], results[outputs[[1, 1]]], First[Values[results]]]
]
takeResult[result_] := With[{array = Normal[result]}, If[Length[Dimensions[array]] === 4, First[array], array]]

makeImage[planes_, {height_, width_}] := With[{cut = Map[Take[#, height, width] &, planes]},
  If[Length[cut] === 1, Image[First[cut]], Image[MapThread[List, cut, 2]]]
]

inputPort["Images", 1, size_] := NetEncoder[{"Image", size, ColorSpace -> "Grayscale"}]
inputPort["Images", 3, size_] := NetEncoder[{"Image", size, ColorSpace -> "RGB"}]
inputPort[_, channels_, {width_, height_}] := {channels, height, width}

outputPort["Images", 1, _] := NetDecoder[{"Image", ColorSpace -> "Grayscale"}]
outputPort["Images", 3, _] := NetDecoder[{"Image", ColorSpace -> "RGB"}]
outputPort[_, channels_, {width_, height_}] := {channels, height, width}

(* Of an output that the file does not say to be of the inputs' size: a NetGraph infers what it is not told. *)
inferredPort[name_, "Images", channels : 1 | 3] := name -> outputPort["Images", channels, {}]
inferredPort[__] := None

(* versions: what the layers below are made with. *)

(* Before 12.0, NumericArray was called RawArray, and its arguments stood the other way round. *)
asArray[array : (_RawArray | _NumericArray)] := array

asArray[array_] := If[$VersionNumber < 12, RawArray["Real32", array], NumericArray[array, "Real32"]]

(* The page "InstanceNormalizationLayer" of version 11 calls the factors "Gamma" and the offsets "Beta"; since 12.0,
   NormalizationLayer does its work. *)
normalizationLayer["Scaling" -> factors_, "Biases" -> offsets_, epsilon___] := If[$VersionNumber < 12,
  InstanceNormalizationLayer["Gamma" -> factors, "Beta" -> offsets, epsilon],
  NormalizationLayer[2 ;; All, "Scaling" -> factors, "Biases" -> offsets, epsilon]
]

(* NetArrayLayer came with 12.2 in place of ConstantArrayLayer. *)
arrayLayer[array_] := If[$VersionNumber < 12.2, ConstantArrayLayer[array], NetArrayLayer[array]]

layers[weights_] := <|
@layers@
|>

connections = {
@connections@
};

End[]

EndPackage[]
