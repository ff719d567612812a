// The package under another name: its types know only their own.
declare module 'onnxruntime-web-training/training' {
  export * from 'onnxruntime-common';
}
