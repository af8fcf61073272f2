// This build comes without types; its names are those of the package below. For `npm run check` only.
export * from "onnxruntime-common";
