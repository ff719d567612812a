"""Golden values of quantization, distillation and pruning, computed by PyTorch.

Run:   /usr/bin/python3 make_compression.py      (writes compression.json beside it)
With:  Python 3.11 and PyTorch 1.13.1 (calls itself 1.13.0a0) of Debian 12: apt-get install python3-torch

Quantization is computed in float32, as PyTorch's operators demand; the rest in double. No value lies within 1e-3
steps of a rounding boundary, so that x / scale and x * (1 / scale) round alike.
"""

import pathlib

import torch
import torch.nn.functional as F
from torch.nn.utils import prune

from make_golden import nine_digits, to_json


def numbers(tensor):
  return {"shape": list(tensor.shape), "data": tensor.detach().flatten().tolist()}


def clear_of_ties(x, scale):
  """Moves values away from the middle between two levels."""
  position = x / scale
  near = ((position - position.floor()) - 0.5).abs() < 1e-3
  return torch.where(near, x + 0.01 * scale, x)


def weights(bits):
  """Per channel, symmetric, the lowest code left out."""
  x = torch.randn(6, 20)
  highest = 2 ** (bits - 1) - 1
  scale = x.abs().amax(1) * torch.linspace(0.5, 1.2, 6) / highest  # some channels clip
  x = clear_of_ties(x, scale[:, None]).requires_grad_()
  upstream = torch.randn(6, 20)
  y = torch.fake_quantize_per_channel_affine(x, scale, torch.zeros(6, dtype=torch.int32), 0, -highest, highest)
  y.backward(upstream)
  return {"bits": bits, "values": numbers(x), "scale": numbers(scale), "quantized": numbers(y),
          "upstream": numbers(upstream), "gradient": numbers(x.grad)}


def activations(bits, zero_point, learned):
  x = torch.randn(4, 30) * 2
  highest = 2 ** bits - 1
  scale = torch.tensor([5.0 / highest])
  x = clear_of_ties(x, scale).requires_grad_()
  upstream = torch.randn(4, 30)
  case = {"bits": bits, "zero_point": zero_point, "values": numbers(x), "scale": scale.item(),
          "upstream": numbers(upstream)}
  if learned:
    scale.requires_grad_()
    y = torch._fake_quantize_learnable_per_tensor_affine(
      x, scale, torch.tensor([float(zero_point)]), 0, highest, 1.0)
    y.backward(upstream)
    case["scale_gradient"] = scale.grad.item()
  else:
    y = torch.fake_quantize_per_tensor_affine(x, scale.item(), zero_point, 0, highest)
    y.backward(upstream)
  return {**case, "quantized": numbers(y), "gradient": numbers(x.grad)}


def distillation(temperature, share):
  student = (torch.randn(5, 7, dtype=torch.float64) * 3).float().double().requires_grad_()
  teacher = (torch.randn(5, 7, dtype=torch.float64) * 3).float().double()
  labels = torch.tensor([3, 0, 6, 2, 3])
  soft = F.kl_div(F.log_softmax(student / temperature, 1), F.softmax(teacher / temperature, 1),
                  reduction="batchmean") * temperature ** 2
  loss = (1 - share) * F.cross_entropy(student, labels) + share * soft
  loss.backward()
  return {"temperature": temperature, "share": share, "student": numbers(student), "teacher": numbers(teacher),
          "labels": labels.tolist(), "loss": loss.item(), "gradient": numbers(student.grad)}


def pruned():
  """Masks of magnitude pruning: single weights, whole channels by their L1 norm, and over two layers at once."""
  first, second = torch.nn.Conv2d(3, 8, 3), torch.nn.Linear(11, 6)
  cases = {"first": numbers(first.weight), "second": numbers(second.weight)}
  prune.l1_unstructured(first, "weight", amount=80)
  cases["weights_80"] = numbers(first.weight_mask)
  prune.remove(first, "weight")
  first.weight.data = torch.tensor(cases["first"]["data"]).reshape(8, 3, 3, 3)
  prune.ln_structured(first, "weight", amount=3, n=1, dim=0)
  cases["channels_3"] = numbers(first.weight_mask[:, 0, 0, 0])
  prune.remove(first, "weight")
  first.weight.data = torch.tensor(cases["first"]["data"]).reshape(8, 3, 3, 3)
  prune.global_unstructured([(first, "weight"), (second, "weight")], prune.L1Unstructured, amount=141)
  cases["global_141"] = {"first": numbers(first.weight_mask), "second": numbers(second.weight_mask)}
  return cases


if __name__ == "__main__":
  torch.manual_seed(11)
  torch.set_num_threads(1)
  values = {
    "torch": torch.__version__,
    "weights": [weights(bits) for bits in (2, 4, 8)],
    "activations": [activations(8, 100, False), activations(4, 5, False), activations(8, 0, True),
                    activations(4, 7, True)],
    "distillation": [distillation(4, 0.7), distillation(1, 1.0)],
    "pruned": pruned(),
  }
  pathlib.Path(__file__).with_name("compression.json").write_text(to_json(nine_digits(values)) + "\n")
