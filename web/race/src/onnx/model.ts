// ONNX models as bytes: nodes as rows, the rest made of them.

import { create, toBinary } from '@bufbuild/protobuf';
import {
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  TensorProto_DataType as DataType,
  TensorProtoSchema,
  ValueInfoProtoSchema,
} from 'onnx-buf';

export type Attribute = number | number[] | string;

export interface Node {
  type: string;
  /** An empty name is an input or output that is left out. */
  inputs: string[];
  outputs: string[];
  attributes?: Record<string, Attribute>;
  /** Default: ONNX's own operators. */
  domain?: '' | 'com.microsoft';
}

export interface Value {
  name: string;
  type: 'float' | 'int64';
  /** A text is a size that only running tells. */
  shape: (number | string)[];
}

export interface Model {
  nodes: Node[];
  inputs: Value[];
  outputs: Value[];
  /** Others whose shape is told, because an operator cannot infer it. */
  inner?: Value[];
  constants: { name: string; shape: number[]; data: Float32Array }[];
}

/** The last with the axes of a sum as an attribute, and the first with a softmax loss. */
const opset = 12;

export function encode({ nodes, inputs, outputs, inner = [], constants }: Model): Uint8Array {
  const graph = create(GraphProtoSchema, {
    name: 'race',
    node: nodes.map(encodeNode),
    input: inputs.map(encodeValue),
    output: outputs.map(encodeValue),
    valueInfo: inner.map(encodeValue),
    initializer: constants.map(({ name, shape, data }) =>
      create(TensorProtoSchema, {
        name,
        dims: shape.map(BigInt),
        dataType: DataType.FLOAT,
        rawData: new Uint8Array(data.slice().buffer),
      }),
    ),
  });
  const opsetImport = [
    { domain: '', version: BigInt(opset) },
    { domain: 'com.microsoft', version: 1n },
  ];
  return toBinary(ModelProtoSchema, create(ModelProtoSchema, { irVersion: 7n, opsetImport, graph }));
}

function encodeNode({ type, inputs, outputs, attributes = {}, domain = '' }: Node) {
  const attribute = Object.entries(attributes).map(([name, value]) => encodeAttribute(name, value));
  return create(NodeProtoSchema, { opType: type, domain, input: inputs, output: outputs, attribute });
}

/** Numbers are integers here: no operator of the race takes another. */
function encodeAttribute(name: string, value: Attribute) {
  if (typeof value === 'string') {
    return create(AttributeProtoSchema, {
      name,
      type: AttributeType.STRING,
      s: new TextEncoder().encode(value),
    });
  }
  if (typeof value === 'number') {
    return create(AttributeProtoSchema, { name, type: AttributeType.INT, i: BigInt(value) });
  }
  return create(AttributeProtoSchema, { name, type: AttributeType.INTS, ints: value.map(BigInt) });
}

function encodeValue({ name, type, shape }: Value) {
  return create(ValueInfoProtoSchema, {
    name,
    type: {
      value: {
        case: 'tensorType',
        value: {
          elemType: type === 'float' ? DataType.FLOAT : DataType.INT64,
          shape: {
            dim: shape.map((size) => ({
              value:
                typeof size === 'number'
                  ? { case: 'dimValue' as const, value: BigInt(size) }
                  : { case: 'dimParam' as const, value: size },
            })),
          },
        },
      },
    },
  });
}
