(* ::Package:: *)

(* EdgeConnect from photo to photo, and the edges that it begins with. Written for the nets that ganport converts:
   give the pipeline's ONNX file, or the packages of the two nets, as "Model". *)

BeginPackage["Ganport`EdgeConnectInpaint`"]

EdgeConnectInpaint::usage = "EdgeConnectInpaint[photo, mask, \"Model\" -> model] fills the white part of mask in photo.
\"Model\" is the pipeline's ONNX file, which a NetExternalObject runs, or {edge, inpaint}, the packages (.wl) of the two nets.
\"Draw\" -> image draws edges where image is white, \"Erase\" -> image erases them; both are None if they are left out.";

CannyEdges::usage = "CannyEdges[rgb, hole] gives the edges of the known part, a matrix of 0 and 1.
rgb is a matrix of {red, green, blue} from 0 to 255, hole one of 1 in the hole, else 0; both are 12 x 12 or more.";

EdgeConnectInpaint::images = "Photo and mask are wanted, both images: EdgeConnectInpaint[photo, mask, options].";
EdgeConnectInpaint::size = "`1` of the size `2` does not fit the photo of the size `3`, or is smaller than 12 x 12.";
EdgeConnectInpaint::model = "\"Model\" is the pipeline's ONNX file or {edge, inpaint}, two packages, not `1`.";
EdgeConnectInpaint::failed = "`1` gives no result in this version of the language, `2`.";

Begin["`Private`"]

defaults = {"Model" -> None, "Draw" -> None, "Erase" -> None};

Options[EdgeConnectInpaint] = defaults;

EdgeConnectInpaint[photo_?ImageQ, mask_?ImageQ, rules : (_Rule | _RuleDelayed) ...] := Module[
  {settings = Association @@ Join[defaults, {rules}], size = ImageDimensions[photo], wrong},
  wrong = Select[
    {{"Mask", mask}, {"Draw", settings["Draw"]}, {"Erase", settings["Erase"]}},
    #[[2]] =!= None && (! ImageQ[#[[2]]] || ImageDimensions[#[[2]]] =!= size) &
  ];
  Which[
    Min[size] < 12, complain["size", "Photo", size, size],
    wrong =!= {}, complain["size", wrong[[1, 1]], If[ImageQ[wrong[[1, 2]]], ImageDimensions[wrong[[1, 2]]], None], size],
    ! MatchQ[settings["Model"], _String | {_String, _String}], complain["model", settings["Model"]],
    True, fill[settings["Model"], bytes[photo], marked[mask], marked[settings["Draw"], mask], marked[settings["Erase"], mask]]
  ]
]

EdgeConnectInpaint[___] := complain["images"]

complain[message_, met___] := (Message[MessageName[EdgeConnectInpaint, message], met]; $Failed)

(* Red, green and blue from 0 to 255, and where an image is white. *)
bytes[image_] := Round[255 ImageData[ColorConvert[image, "RGB"]]]

marked[image_] := UnitStep[ImageData[ColorConvert[image, "Grayscale"]] - 0.5]
marked[None, mask_] := 0 marked[mask]
marked[image_, _] := marked[image]

(* Drawing goes before erasing, as in `ganport inpaint`. *)
fill[file_String, rgb_, hole_, draw_, erase_] := finish[file, Quiet[
  Import[file, {"ONNX", "NetExternalObject"}][<|"photo" -> {rgb}, "mask" -> {hole}, "edge_edits" -> {draw - (1 - draw) erase}|>]
]]

fill[{edge_, inpaint_}, rgb_, hole_, draw_, erase_] := Module[{size = Dimensions[hole], wide, edges, planes, completed, result},
  wide = 4 Ceiling[size/4];
  planes = extended[#, wide] & /@ Join[
    {grayOf[rgb], edited[CannyEdges[rgb, hole], draw (1 - hole), (1 - draw) erase (1 - hole)], hole, draw, erase},
    Table[rgb[[All, All, channel]]/255., {channel, 3}]
  ];
  edges = run[edge, Reverse[wide], <|"gray" -> {planes[[1]]}, "edges" -> {planes[[2]]}, "mask" -> {planes[[3]]}|>];
  If[! MatchQ[Dimensions[edges], {1, _, _}], complain["failed", edge, $VersionNumber],
    completed = edited[First[edges], planes[[4]] planes[[3]], (1 - planes[[4]]) planes[[5]] planes[[3]]];
    result = run[inpaint, Reverse[wide], <|"image" -> planes[[6 ;; 8]], "edges" -> {completed}, "mask" -> {planes[[3]]}|>];
    If[! MatchQ[Dimensions[result], {3, _, _}], complain["failed", inpaint, $VersionNumber],
      finish[inpaint, composed[MapThread[List, Take[#, size[[1]], size[[2]]] & /@ result, 2], rgb, hole]]
    ]
  ]
]

(* Known pixels come from the photo. Levels are rounded half to even, as Round does. *)
composed[filled_, rgb_, hole_] := MapThread[
  If[#3 === 1, Map[Min[Max[Round[255 #], 0], 255] &, #1], #2] &, {filled, rgb, hole}, 2
]

(* Of several outputs the result, of a batch its only item. *)
finish[model_, results_Association] := finish[model, If[MemberQ[Keys[results], "result"], results["result"], First[Values[results]]]]

finish[model_, result_] := Module[{levels = Normal[result]},
  If[Length[Dimensions[levels]] === 4, levels = First[levels]];
  If[MatchQ[Dimensions[levels], {_, _, 3}], Image[N[levels/255]], complain["failed", model, $VersionNumber]]
]

edited[edges_, draw_, erase_] := MapThread[Which[#2 === 1, 1, #3 === 1, 0, True, #1] &, {edges, draw, erase}, 2]

extended[plane_, {height_, width_}] := plane[[reflected[Length[plane], height], reflected[Length[First[plane]], width]]]

reflected[length_, wanted_] := Table[If[i <= length, i, 2 length - i], {i, wanted}]

(* The package's builder is known by its context, which Get puts first on $ContextPath. *)
run[package_, size_, fed_] := Module[{context, results},
  Block[{$ContextPath = {"System`"}}, Get[package]; context = First[$ContextPath]];
  results = Quiet[Symbol[context <> StringSplit[context, "`"][[2]]]["Ports" -> "Arrays", "ImageSize" -> size][fed]];
  Normal[If[AssociationQ[results], First[Values[results]], results]]
]

(* canny: the edges of the known part, as reference/canny.py of ganport defines them, which equal scikit-image's with
   sigma 2 to the last bit. All numbers are machine numbers, and each sum runs in that order; Divide rounds once, where
   a/b would multiply by 1/b. Planes are matrices; UnitStep, 1 from 0 on, and Sign give the conditions as 0 and 1. *)

weights = {
  1796707899587053*2.^-53,
  3171178312469697*2.^-54,
  4359033710589741*2.^-55,
  4666445221785399*2.^-56,
  7781055119490345*2.^-58,
  5052277486387719*2.^-59,
  2554831595103383*2.^-60,
  8049218708102565*2.^-64,
  4937550672434587*2.^-66
};

epsilonInverse = 2.^52;

(* The matrix moved by d rows: row i is row i + d, and beyond the border `row`; and the same for columns. *)
movedRows[plane_, d_, row_] := If[d >= 0,
  Join[Drop[plane, d], ConstantArray[row, d]],
  Join[ConstantArray[row, -d], Drop[plane, d]]
]

rowsFilled[plane_, d_, value_] := movedRows[plane, d, ConstantArray[value, Length[First[plane]]]]

rowsRepeated[plane_, d_] := movedRows[plane, d, If[d > 0, Last[plane], First[plane]]]

movedFilled[plane_, down_, right_, value_] := Transpose[
  rowsFilled[Transpose[rowsFilled[plane, down, value]], right, value]
]

blurRows[plane_] := Fold[blurStep[plane], plane*weights[[1]], Range[8, 1, -1]]

blurStep[plane_][sum_, distance_] := sum + (rowsFilled[plane, -distance, 0.] + rowsFilled[plane, distance, 0.])*weights[[distance + 1]]

blur[plane_] := Transpose[blurRows[Transpose[blurRows[plane]]]]

sobelRows[plane_] := acrossRows[Transpose[rowsRepeated[plane, 1] - rowsRepeated[plane, -1]]]

acrossRows[slope_] := Transpose[slope*2 + (rowsRepeated[slope, -1] + rowsRepeated[slope, 1])]

choose[condition_, yes_, no_] := condition*yes + (1 - condition)*no

grayOf[rgb_] := grayOfUnits[rgb*N[1/255]]

grayOfUnits[units_] := (units[[All, All, 1]]*0.2125 + units[[All, All, 2]]*0.7154) + units[[All, All, 3]]*0.0721

smooth[gray_, known_] := Divide[blur[gray*known]*epsilonInverse, blur[known*1.]*epsilonInverse + 1.]

(* Whether the strength is at least that of both sides along the gradient, between the two pixels next to it. *)
peaks[rows_, columns_, strength_] := Module[{falling, steep, smaller, larger, weight, side},
  falling = 1 - (1 - UnitStep[rows]*UnitStep[columns])*(1 - UnitStep[-rows]*UnitStep[-columns]);
  steep = 1 - UnitStep[Abs[columns] - Abs[rows]];
  smaller = choose[steep, Abs[columns], Abs[rows]];
  larger = choose[steep, Abs[rows], Abs[columns]];
  weight = Divide[smaller, choose[Sign[larger], larger, 1.]];
  side = sideAtMost[strength, falling, steep, weight];
  side[1]*side[-1]
]

sideAtMost[strength_, falling_, steep_, weight_][to_] := Module[{corner, vertical, straight},
  corner = choose[falling, movedFilled[strength, to, to, 0.], movedFilled[strength, -to, to, 0.]];
  vertical = choose[falling, rowsFilled[strength, to, 0.], rowsFilled[strength, -to, 0.]];
  straight = choose[steep, vertical, movedFilled[strength, 0, to, 0.]];
  UnitStep[strength - (corner*weight + straight*(1 - weight))]
]

(* The sum over a pixel and its eight neighbours, `value` beyond the border. *)
aroundRows[plane_, value_] := (rowsFilled[plane, -1, value] + plane) + rowsFilled[plane, 1, value]

around[plane_, value_] := Transpose[aroundRows[Transpose[aroundRows[plane, value]], 3*value]]

grown[strong_, weak_] := FixedPoint[Function[edges, Sign[around[edges, 0]]*weak], strong]

CannyEdges[rgb_, hole_] := Module[{smoothed, rows, columns, strength, places},
  smoothed = smooth[grayOf[rgb], 1 - hole];
  rows = sobelRows[smoothed];
  columns = Transpose[sobelRows[Transpose[smoothed]]];
  strength = Sqrt[rows*rows + columns*columns];
  places = peaks[rows, columns, strength]*(1 - Sign[around[hole, 1]]);
  grown[places*UnitStep[strength - 0.2], places*UnitStep[strength - 0.1]]
]

End[]

EndPackage[]
