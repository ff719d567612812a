// The package under another name: its types know only their own.
declare module 'onnxruntime-web-training/training' {
  export * from 'onnxruntime-common';
}

// What the race uses of it; the library has no types.
declare module 'convnetjs' {
  export interface Vol {
    w: Float64Array;
  }
  export interface Layer {
    filters?: Vol[];
    biases?: Vol;
  }
  export interface Net {
    layers: Layer[];
    makeLayers(rows: object[]): void;
    forward(volume: Vol): Vol;
  }
  const convnetjs: {
    Vol: new (width: number, height: number, depth: number, value: number) => Vol;
    Net: new () => Net;
    Trainer: new (net: Net, options: object) => { train(volume: Vol, label: number): void };
  };
  export default convnetjs;
}
