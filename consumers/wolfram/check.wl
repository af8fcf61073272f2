(* ::Package:: *)

(* Runs the golden case of this bundle on each route into the Wolfram Language, and prints how far each is from what
   its source gave: the untouched PyTorch module, or ONNX Runtime on the ONNX file. From a shell: wolframscript -file @check@ *)

BeginPackage["Ganport`Check`"]

Begin["`Private`"]

(* Where a script is piped in or run by an old wolframscript, $InputFileName is empty; the command line names it. *)
folder = Which[
  $InputFileName =!= "", DirectoryName[ExpandFileName[$InputFileName]],
  $ScriptCommandLine =!= {}, DirectoryName[ExpandFileName[First[$ScriptCommandLine]]],
  True, Directory[]
];

file[parts__] := FileNameJoin[{folder, parts}]

(* A NumPy file of version 1: magic string and version, 8 bytes; length of the header, low byte first; the header, of
   which the parentheses hold the shape; float32 values, low byte first, the last axis fastest. *)
readArray[path_] := Module[{stream = OpenRead[path, BinaryFormat -> True], low, high, header, shape, values},
  {low, high} = Take[BinaryReadList[stream, "Byte", 10], -2];
  header = BinaryReadList[stream, "Byte", low + 256 high];
  shape = FromDigits /@ StringSplit[StringSplit[FromCharacterCode[header], {"(", ")"}][[2]], ", "];
  values = BinaryReadList[stream, "Real32", Times @@ shape, ByteOrdering -> -1];
  Close[stream];
  Fold[Partition, values, Reverse[Rest[shape]]]
]

inputs = <|
@inputs@
|>;

names = {
@names@
};

expected = Map[Flatten, {
@outputs@
}];

(* Differences of an output whose range is not known are in units of its largest value. *)
unit[values_, relative_] := If[relative, Max[Max[Abs[values]], 0.05], 1]

units = MapThread[unit, {expected, {@relative@}}];

(* Greatest difference of a net's results, $Failed if they are not as many numbers. Names may be a route's own. *)
difference[results_Association] := compare[
  If[Complement[names, Keys[results]] === {}, Map[results, names], Values[results]]
]

difference[result_] := compare[{result}]

compare[results_] := If[Length[results] === Length[names],
  With[{found = MapThread[distance, {results, expected, units}]}, If[MemberQ[found, $Failed], $Failed, Max[found]]],
  $Failed
]

distance[result_, wanted_, unit_] := Module[{actual = Flatten[{Normal[result]}]},
  If[VectorQ[actual, NumberQ] && Length[actual] === Length[wanted], Max[Abs[actual - wanted]]/unit, $Failed]
]

(* A NetGraph takes a batch of arrays or one of them, an external net what its file says: both ways are tried. *)
measure[net_] := Module[{batched = difference[Quiet[net[inputs]]]},
  If[batched === $Failed, difference[Quiet[net[Map[First, inputs]]]], batched]
]

said = {};

report[route_, net_] := Module[{largest = measure[net], verdict},
  verdict = Which[
    largest === $Failed, "not run by this version",
    largest <= @gate@, "passed, largest difference " <> ToString[largest, InputForm],
    True, "FAILED, largest difference " <> ToString[largest, InputForm]
  ];
  Print[route, ": ", verdict];
  AppendTo[said, route <> " " <> verdict];
  TrueQ[largest <= @gate@]
]

Get[file[@package@]];

{height, width} = Take[Dimensions[First[Values[inputs]]], -2];

passed = report["NetGraph", Ganport`@builder@`@builder@["Ports" -> "Arrays", "ImageSize" -> {width, height}]];
report["ONNX, NetExternalObject", Quiet[Import[file[@onnx@], {"ONNX", "NetExternalObject"}]]];
report["ONNX, imported layers", Quiet[Import[file[@onnx@], "ONNX"]]];
(* The page "MXNet": params are looked for under the symbol's own name, which ours do not bear; hence "ArrayPath". *)
report["MXNet", Quiet[Import[file[@symbol@], "MXNet", "ArrayPath" -> file[@params@]]]];

(* All in one line, to be sent to whoever asks how it went. *)
Print[@name@, "; kernel ", $Version, "; language ", ToString[$VersionNumber], "; ", StringJoin[Riffle[said, "; "]]];

(* A script tells by its exit code whether the NetGraph passed; a notebook's kernel goes on. *)
If[$ScriptCommandLine =!= {}, Exit[If[TrueQ[passed], 0, 1]]];

End[]

EndPackage[]
