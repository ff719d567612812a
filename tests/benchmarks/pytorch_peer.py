"""PyTorch on the race's networks: answers a JSON request a line, so that a caller can take turns with others.

{"open": name, "weights": FILE.safetensors, "images": FILE, "labels": FILE, "mean": m, "deviation": s,
 "learning_rate": r, "momentum": m, "batch": n, "channels_last": bool}
{"loss": n}           mean cross-entropy of the first n images
{"train": steps}      as many steps, a batch after the other, with seconds
{"train_again": steps}  as many with the first batch

One thread. Debian's PyTorch links whatever libblas.so.3 there is: the reference one makes it three times slower on
lenet5, so the caller puts OpenBLAS on LD_LIBRARY_PATH (and OPENBLAS_CORETYPE=SKYLAKEX on machines with AVX-512).
"""

import json
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional

torch.set_num_threads(1)

NETWORKS = {
    "lenet5": lambda: nn.Sequential(
        nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10),
    ),
    "small": lambda: nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(784, 10),
    ),
}


def read_safetensors(name):
    with open(name, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = file.read()
    header.pop("__metadata__", None)
    return {
        key: np.frombuffer(data[slice(*row["data_offsets"])], np.float32).reshape(row["shape"])
        for key, row in header.items()
    }


class Peer:
    def __init__(self, request):
        self.model = NETWORKS[request["open"]]()
        tensors = read_safetensors(request["weights"])
        parameters = list(self.model.parameters())
        # Both list a layer's weight, then its bias, layer after layer.
        layers = list(dict.fromkeys(key.split(".")[0] for key in request["order"]))
        for layer, weight, bias in zip(layers, parameters[::2], parameters[1::2]):
            weight.data = torch.tensor(tensors[layer + ".weight"])
            bias.data = torch.tensor(tensors[layer + ".bias"])
        pixels = np.fromfile(request["images"], np.uint8).reshape(-1, 1, 28, 28)
        images = (torch.from_numpy(pixels.astype(np.float32)) / 255 - request["mean"]) / request["deviation"]
        labels = torch.from_numpy(np.fromfile(request["labels"], np.uint8).astype(np.int64))
        if request["channels_last"]:
            self.model = self.model.to(memory_format=torch.channels_last)
            images = images.to(memory_format=torch.channels_last)
        self.images, self.labels, self.batch, self.at = images, labels, request["batch"], 0
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=request["learning_rate"], momentum=request["momentum"]
        )

    def loss(self, count):
        with torch.no_grad():
            logits = self.model(self.images[:count])
            return functional.cross_entropy(logits, self.labels[:count]).item()

    def train(self, steps, again=False):
        begin = time.perf_counter()
        for _ in range(steps):
            if again:
                self.at = 0
            end = self.at + self.batch
            images, labels = self.images[self.at:end], self.labels[self.at:end]
            self.at = end if end + self.batch <= len(self.images) else 0
            self.optimizer.zero_grad(set_to_none=True)
            functional.cross_entropy(self.model(images), labels).backward()
            self.optimizer.step()
        return time.perf_counter() - begin


def main():
    peer = None
    for line in sys.stdin:
        request = json.loads(line)
        answer = {}
        if "open" in request:
            peer = Peer(request)
            answer["version"] = torch.__version__
        elif "loss" in request:
            answer["loss"] = peer.loss(request["loss"])
        elif "train_again" in request:
            answer["seconds"] = peer.train(request["train_again"], again=True)
        else:
            answer["seconds"] = peer.train(request["train"])
        print(json.dumps(answer), flush=True)


main()
