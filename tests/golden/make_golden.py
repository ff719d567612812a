"""Golden values for Espalier's tests, computed by PyTorch in double precision.

Run:   /usr/bin/python3 make_golden.py      (writes chain.json, residual.json and depthwise.json beside it)
With:  Python 3.11 and PyTorch 1.13.1 (calls itself 1.13.0a0) of Debian 12: apt-get install python3-torch

`forward` interprets an Espalier model spec with torch.nn.functional; nothing else here knows about layers.
Images and initial values are rounded to float32, so that a float engine starts from the very same numbers.
"loss" and "gradients" are plain softmax cross-entropy; each optimizer starts from the initial values again.
"""

import json
import pathlib
import torch
import torch.nn.functional as F

STEPS = 10


# The three nets -----------------------------------------------------------------------------------------

def conv(name, out_channels, kernel, **fields):
  return {"type": "conv", "name": name, "out_channels": out_channels, "kernel": kernel, **fields}


def batch_norm(name, **fields):
  return {"type": "batch_norm", "name": name, **fields}


def config(optimizer, learning_rate, momentum=0.0, beta2=0.999, weight_decay=0.0, clip_norm=0.0,
           label_smoothing=0.0, loss="softmax_cross_entropy"):
  return dict(locals())


# (seed, images, spec, training configs); a conv before a batch norm has no bias, for the gradient of one is
# exactly 0 and Adam would blow its rounding up to whole steps.
NETS = [
  (1, 5, {
    "name": "chain", "input": {"channels": 2, "height": 9, "width": 8}, "classes": 5, "layers": [
      conv("conv1", 4, [3, 2], padding="same"),
      {"type": "relu"},
      {"type": "max_pool", "kernel": [3, 2], "stride": [2, 1], "padding": [1, 0]},
      conv("conv2", 8, [2, 3], stride=2, padding="valid"),
      {"type": "tanh"},
      {"type": "flatten"},
      {"type": "dense", "name": "fc1", "units": 16},
      {"type": "relu"},
      {"type": "dense", "name": "fc2", "units": "classes"},
    ]},
   [config("sgd", 0.05),
    config("nesterov", 0.05, momentum=0.9, weight_decay=0.001, loss="mse"),
    config("adam", 0.01, momentum=0.9, weight_decay=0.01, clip_norm=0.5)]),

  (2, 10, {
    "name": "residual", "input": {"channels": 3, "height": 8, "width": 7}, "classes": 4, "layers": [
      conv("conv1", 6, 3, padding="same", bias=False),
      batch_norm("bn1"),
      {"type": "relu", "name": "stem"},
      conv("conv2", 8, 3, stride=2, padding="same", bias=False),
      batch_norm("bn2", epsilon=0.001, momentum=0.2),
      {"type": "relu"},
      conv("conv3", 8, 3, padding=1, bias=False),
      batch_norm("bn3"),
      conv("projection", 8, 1, inputs=["stem"], stride=2, bias=False),
      batch_norm("bn4"),
      {"type": "add", "inputs": ["bn3", "bn4"]},
      {"type": "relu", "name": "block"},
      conv("left", 4, 1),
      {"type": "relu", "name": "left_relu"},
      conv("right", 4, [3, 1], inputs=["block"], padding=[1, 0]),
      {"type": "relu", "name": "right_relu"},
      {"type": "concat", "inputs": ["left_relu", "right_relu"]},
      {"type": "avg_pool", "kernel": 3, "stride": 2, "padding": 1},
      {"type": "global_avg_pool"},
      {"type": "dense", "name": "fc", "units": "classes"},
    ]},
   [config("momentum", 0.02, momentum=0.9, weight_decay=0.0005, label_smoothing=0.1),
    config("adamw", 0.005, momentum=0.9, beta2=0.99, weight_decay=0.05, clip_norm=1.0)]),

  (3, 8, {
    "name": "depthwise", "input": {"channels": 3, "height": 11, "width": 10}, "classes": 6, "layers": [
      conv("conv1", 6, 3, stride=2, padding="same", bias=False),
      batch_norm("bn1"),
      {"type": "relu6"},
      conv("depthwise", 6, 3, dilation=2, padding="same", groups=6, bias=False),
      batch_norm("bn2"),
      {"type": "leaky_relu", "slope": 0.1},
      conv("pointwise", 8, 1),
      conv("grouped", 8, 3, stride=[2, 1], padding=[0, 1, 2, 1], groups=2),
      {"type": "sigmoid"},
      {"type": "flatten"},
      {"type": "dense", "name": "fc", "units": "classes"},
    ]},
   [config("sgd", 0.05, weight_decay=0.01, label_smoothing=0.2),
    config("momentum", 0.05, momentum=0.8, clip_norm=0.2, loss="mse"),
    config("adam", 0.005, momentum=0.9)]),
]


# A model spec, interpreted ------------------------------------------------------------------------------

def pair(value):
  return list(value) if isinstance(value, list) else [value, value]


def pad(x, layer, kernel, stride, dilation, fill=0.0):
  """Makes a layer's padding explicit; "same" puts the smaller half first."""
  padding = layer.get("padding", "valid")
  if padding == "valid":
    padding = 0
  if padding == "same":
    total = [max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
             for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation)]
    padding = [t // 2 for t in total] + [t - t // 2 for t in total]
  elif not isinstance(padding, list) or len(padding) == 2:
    padding = pair(padding) * 2
  top, left, bottom, right = padding
  return F.pad(x, (left, right, top, bottom), value=fill)


def forward(spec, parameter, image):
  """Training-mode logits. `parameter(name, shape)` gives a tensor; running statistics change in place."""
  values = {"input": image}
  x = image
  for layer in spec["layers"]:
    kind, name = layer["type"], layer.get("name")
    inputs = [values[i] for i in layer["inputs"]] if "inputs" in layer else [x]
    x = inputs[0]
    channels = x.shape[1]
    kernel, dilation = pair(layer.get("kernel", 1)), pair(layer.get("dilation", 1))
    stride = pair(layer.get("stride", 1 if kind == "conv" else kernel))
    if kind == "conv":
      out, groups = layer["out_channels"], layer.get("groups", 1)
      weight = parameter(name + ".weight", [out, channels // groups, *kernel])
      bias = parameter(name + ".bias", [out]) if layer.get("bias", True) else None
      x = F.conv2d(pad(x, layer, kernel, stride, dilation), weight, bias, stride, 0, dilation, groups)
    elif kind == "dense":
      units = spec["classes"] if layer["units"] == "classes" else layer["units"]
      x = x.flatten(1)
      weight = parameter(name + ".weight", [units, x.shape[1]])
      x = F.linear(x, weight, parameter(name + ".bias", [units]) if layer.get("bias", True) else None)
    elif kind == "batch_norm":
      gamma, beta, mean, variance = (
        parameter(f"{name}.{p}", [channels]) for p in ("weight", "bias", "running_mean", "running_variance"))
      x = F.batch_norm(x, mean, variance, gamma, beta, training=True,
                       momentum=layer.get("momentum", 0.1), eps=layer.get("epsilon", 1e-5))
    elif kind == "max_pool":
      x = F.max_pool2d(pad(x, layer, kernel, stride, [1, 1], float("-inf")), kernel, stride)
    elif kind == "avg_pool":
      total, count = (F.avg_pool2d(pad(v, layer, kernel, stride, [1, 1]), kernel, stride)
                      for v in (x, torch.ones_like(x)))
      x = total / count
    elif kind == "leaky_relu":
      x = F.leaky_relu(x, layer["slope"])
    else:
      x = {"relu": F.relu, "relu6": F.relu6, "tanh": torch.tanh, "sigmoid": torch.sigmoid,
           "flatten": lambda v: v.flatten(1),
           "global_avg_pool": lambda v: v.mean((2, 3), keepdim=True),
           "add": lambda _: sum(inputs),
           "concat": lambda _: torch.cat(inputs, 1)}[kind](x)
    values[name] = x
  return x


def initial_value(name, shape):
  part = name.split(".")[1]
  if part == "running_variance" or (part == "weight" and len(shape) == 1):
    value = torch.rand(shape) * 3.5 + 0.5  # wide enough for relu6 to reach 6
  elif part == "weight":
    value = torch.randn(shape) * (2 / torch.tensor(shape[1:]).prod()) ** 0.5
  else:
    value = torch.randn(shape) * 0.1
  return value.float().double()


# Training -----------------------------------------------------------------------------------------------

def trainable(tensors):
  return {name: tensor for name, tensor in tensors.items() if ".running_" not in name}


def copy(tensors):
  return {name: tensor.detach().clone().requires_grad_(".running_" not in name)
          for name, tensor in tensors.items()}


def loss_of(logits, labels, setting):
  if setting["loss"] == "mse":
    return F.mse_loss(logits, F.one_hot(labels, logits.shape[1]).to(logits.dtype))
  return F.cross_entropy(logits, labels, label_smoothing=setting["label_smoothing"])


def make_optimizer(setting, parameters):
  kind, momentum = setting["optimizer"], setting["momentum"]
  common = {"lr": setting["learning_rate"], "weight_decay": setting["weight_decay"]}
  if kind in ("adam", "adamw"):
    make = torch.optim.Adam if kind == "adam" else torch.optim.AdamW
    return make(parameters, betas=(momentum, setting["beta2"]), eps=1e-8, **common)
  return torch.optim.SGD(parameters, momentum=momentum, nesterov=kind == "nesterov", **common)


def train(spec, initial, images, labels, setting):
  tensors = copy(initial)
  parameters = list(trainable(tensors).values())
  optimizer = make_optimizer(setting, parameters)
  losses = []
  for _ in range(STEPS):
    optimizer.zero_grad()
    loss = loss_of(forward(spec, lambda name, _: tensors[name], images), labels, setting)
    loss.backward()
    losses.append(loss.item())
    if setting["clip_norm"] > 0:
      torch.nn.utils.clip_grad_norm_(parameters, setting["clip_norm"])
    optimizer.step()
  return {**setting, "losses": losses, "final": pack(tensors)}


# Files --------------------------------------------------------------------------------------------------

def pack(tensors):
  return {name: {"shape": list(tensor.shape), "data": tensor.detach().flatten().tolist()}
          for name, tensor in tensors.items()}


def nine_digits(value):
  if isinstance(value, float):
    return float(f"{value:.9g}")
  if isinstance(value, dict):
    return {key: nine_digits(v) for key, v in value.items()}
  return [nine_digits(v) for v in value] if isinstance(value, list) else value


def to_json(value, indent="\n"):
  """One line for each tensor, list of numbers, layer or config; a tree above them."""
  deeper = indent + " "
  nested = isinstance(value, dict) and any(isinstance(v, (dict, list)) for v in value.values())
  if nested and "data" not in value and "type" not in value:
    rows = [f"{json.dumps(key)}: {to_json(v, deeper)}" for key, v in value.items()]
    return "{" + ",".join(deeper + row for row in rows) + indent + "}"
  if isinstance(value, list) and value and isinstance(value[0], dict):
    return "[" + ",".join(deeper + to_json(v, deeper) for v in value) + indent + "]"
  return json.dumps(value)


def golden(seed, count, spec, training):
  torch.manual_seed(seed)
  shape = spec["input"]
  images = torch.randn(count, shape["channels"], shape["height"], shape["width"]).float().double()
  labels = torch.arange(count) * 7 % spec["classes"]

  initial = {}
  forward(spec, lambda name, shape: initial.setdefault(name, initial_value(name, shape)).clone(), images)
  tensors = copy(initial)
  logits = forward(spec, lambda name, _: tensors[name], images)
  loss = F.cross_entropy(logits, labels)
  loss.backward()
  return {
    "torch": torch.__version__, "seed": seed, "spec": spec,
    "batch": {"count": count, "images": images.flatten().tolist(), "labels": labels.tolist()},
    "initial": pack(initial), "training": training,
    "logits": logits.flatten().tolist(), "loss": loss.item(),
    "gradients": pack({name: tensor.grad for name, tensor in trainable(tensors).items()}),
    "optimizers": [train(spec, initial, images, labels, setting) for setting in training],
  }


if __name__ == "__main__":
  torch.set_default_dtype(torch.float64)
  torch.set_num_threads(1)
  for net in NETS:
    path = pathlib.Path(__file__).with_name(net[2]["name"] + ".json")
    path.write_text(to_json(nine_digits(golden(*net))) + "\n")
