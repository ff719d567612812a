// The race's networks as ONNX graphs: forward, and a whole training step up to the gradients.
//
// The gradient operators are those of onnxruntime's training build: ConvGrad, MaxPoolGrad, ReluGrad and the softmax
// loss's; dense layers go back through Gemm. Every layer is forward nodes and, in reverse order, backward nodes.

import type { Parameter } from '../contestant';
import type { Layer } from '../layers';
import type { Model, Node, Value } from './model';

export const probabilities = 'probabilities';
export const loss = 'loss';
export const gradientOf = (parameter: string) => `${parameter}.gradient`;

export function parametersOf(layers: Layer[]): [name: string, parameter: Parameter][] {
  return layers.flatMap((layer): [string, Parameter][] =>
    layer.type === 'pool'
      ? []
      : [
          [`${layer.name}.weight`, layer.weight],
          [`${layer.name}.bias`, layer.bias],
        ],
  );
}

/** `constant`: the weights are part of the model; otherwise they are inputs. */
export function inferenceModel(layers: Layer[], batch: number | 'batch', constant: boolean): Model {
  const { nodes, output } = forward(layers, false);
  return {
    nodes: [
      ...nodes,
      { type: 'Softmax', inputs: [output], outputs: [probabilities], attributes: { axis: 1 } },
    ],
    inputs: [imagesValue(layers, batch), ...(constant ? [] : parameterValues(layers))],
    outputs: [{ name: probabilities, type: 'float', shape: [batch, 'classes'] }],
    constants: constant ? parametersOf(layers).map(([name, { shape, data }]) => ({ name, shape, data })) : [],
  };
}

export function trainingModel(layers: Layer[], batch: number): Model {
  const { nodes, output } = forward(layers, true);
  const lossNodes: Node[] = [
    {
      type: 'SoftmaxCrossEntropyLoss',
      inputs: [output, 'labels'],
      outputs: [loss, 'log_probabilities'],
      attributes: { reduction: 'mean' },
    },
    {
      type: 'SoftmaxCrossEntropyLossGrad',
      domain: 'com.microsoft',
      inputs: ['one', 'log_probabilities', 'labels'],
      outputs: [gradientOf(output)],
      attributes: { reduction: 'mean' },
    },
  ];
  return {
    nodes: [...nodes, ...lossNodes, ...backward(layers)],
    inputs: [
      imagesValue(layers, batch),
      { name: 'labels', type: 'int64', shape: [batch] },
      ...parameterValues(layers),
    ],
    outputs: [
      { name: loss, type: 'float', shape: [] },
      ...parameterValues(layers).map((value) => ({ ...value, name: gradientOf(value.name) })),
    ],
    // MaxPoolGrad reads the shape of its output off the graph.
    inner: named(layers).flatMap(({ layer, input }): Value[] => {
      const { channels, height, width } = layer.input;
      const shape = [batch, channels, height, width];
      return layer.type === 'pool' ? [{ name: gradientOf(input), type: 'float', shape }] : [];
    }),
    constants: [{ name: 'one', shape: [], data: new Float32Array([1]) }],
  };
}

function imagesValue([first]: Layer[], batch: number | string): Value {
  if (!first) throw new Error('a network has layers');
  const { channels, height, width } = first.input;
  return { name: 'images', type: 'float', shape: [batch, channels, height, width] };
}

function parameterValues(layers: Layer[]): Value[] {
  return parametersOf(layers).map(([name, { shape }]) => ({ name, type: 'float', shape }));
}

const square = (size: number, times: number) => Array<number>(times).fill(size);
const convAttributes = ({ kernel, padding }: { kernel: number; padding: number }) => ({
  kernel_shape: square(kernel, 2),
  pads: square(padding, 4),
});
const poolAttributes = ({ kernel }: { kernel: number }) => ({
  kernel_shape: square(kernel, 2),
  strides: square(kernel, 2),
});

/** The names of a layer's values: what goes in, what comes out before and after its ReLU. */
function named(layers: Layer[]) {
  const outputOf = (layer: Layer) => `${layer.name}.${layer.type !== 'pool' && layer.relu ? 'relu' : 'sum'}`;
  return layers.map((layer, index) => {
    const before = layers[index - 1];
    return {
      layer,
      input: before ? outputOf(before) : 'images',
      flatten: layer.type === 'dense' && before?.type !== 'dense',
      sum: `${layer.name}.sum`,
      output: outputOf(layer),
    };
  });
}

function forward(layers: Layer[], training: boolean): { nodes: Node[]; output: string } {
  const nodes: Node[] = [];
  let last = '';
  for (const { layer, input, flatten, sum, output } of named(layers)) {
    const parameters = [`${layer.name}.weight`, `${layer.name}.bias`];
    if (layer.type === 'conv') {
      nodes.push({
        type: 'Conv',
        inputs: [input, ...parameters],
        outputs: [sum],
        attributes: convAttributes(layer),
      });
    } else if (layer.type === 'pool') {
      const outputs = training ? [sum, `${layer.name}.indices`] : [sum];
      nodes.push({ type: 'MaxPool', inputs: [input], outputs, attributes: poolAttributes(layer) });
    } else {
      const vector = flatten ? `${input}.flat` : input;
      if (flatten)
        nodes.push({ type: 'Flatten', inputs: [input], outputs: [vector], attributes: { axis: 1 } });
      nodes.push({
        type: 'Gemm',
        inputs: [vector, ...parameters],
        outputs: [sum],
        attributes: { transB: 1 },
      });
    }
    if (output !== sum) nodes.push({ type: 'Relu', inputs: [sum], outputs: [output] });
    last = output;
  }
  return { nodes, output: last };
}

function backward(layers: Layer[]): Node[] {
  const nodes: Node[] = [];
  for (const { layer, input, flatten, sum, output } of named(layers).reverse()) {
    const [weight, bias] = [`${layer.name}.weight`, `${layer.name}.bias`];
    // Nobody wants the gradient of the images.
    const wanted = input !== 'images';
    if (output !== sum) {
      nodes.push({
        type: 'ReluGrad',
        domain: 'com.microsoft',
        inputs: [gradientOf(output), output],
        outputs: [gradientOf(sum)],
      });
    }
    if (layer.type === 'conv') {
      nodes.push({
        type: 'ConvGrad',
        domain: 'com.microsoft',
        inputs: [gradientOf(sum), input, weight],
        outputs: [wanted ? gradientOf(input) : '', gradientOf(weight), gradientOf(bias)],
        attributes: convAttributes(layer),
      });
    } else if (layer.type === 'pool') {
      nodes.push({
        type: 'MaxPoolGrad',
        inputs: [gradientOf(sum), `${layer.name}.indices`],
        outputs: [gradientOf(input)],
        attributes: poolAttributes(layer),
      });
    } else {
      const vector = flatten ? `${input}.flat` : input;
      nodes.push(
        {
          type: 'Gemm',
          inputs: [gradientOf(sum), vector],
          outputs: [gradientOf(weight)],
          attributes: { transA: 1 },
        },
        {
          type: 'ReduceSum',
          inputs: [gradientOf(sum)],
          outputs: [gradientOf(bias)],
          attributes: { axes: [0], keepdims: 0 },
        },
        { type: 'Gemm', inputs: [gradientOf(sum), weight], outputs: [gradientOf(vector)] },
      );
      if (flatten) {
        nodes.push(
          { type: 'Shape', inputs: [input], outputs: [`${input}.shape`] },
          { type: 'Reshape', inputs: [gradientOf(vector), `${input}.shape`], outputs: [gradientOf(input)] },
        );
      }
    }
  }
  return nodes;
}
