(* ::Package:: *)

(* With this file the bundle's folder is a paclet, from version 12.1 on: PacletInstall and PacletDirectoryLoad take it,
   and Needs[@context@] loads its package. *)
PacletObject[<|
  "Name" -> @paclet@,
  "Version" -> "1.0.0",
  "WolframVersion" -> @version@,
  "Description" -> @name@,
  "Extensions" -> {{"Kernel", "Root" -> ".", "Context" -> {{@context@, @package@}}}}
|>]
