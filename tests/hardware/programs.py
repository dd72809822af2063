"""Small training programs of every usual kind, for torch alone, whose bits must never differ.

    python programs.py NAME --steps N --layout sliced --threads 2

prints one line of JSON with the digest of all parameters, buffers and optimizer states.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - everybody's name for it
from torch.optim import lr_scheduler as schedulers

LAYOUTS = ("plain", "channels_last", "sliced", "misaligned", "transposed")
Step = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Program:
    """What is trained, how one step goes, and everything whose bits count at the end."""

    step: Step
    modules: list[nn.Module]
    optimizers: list[torch.optim.Optimizer]


def mlp(lay: Layout) -> Program:
    """A perceptron under SGD with Nesterov momentum, a step schedule and label smoothing."""
    model = nn.Sequential(
        nn.Linear(37, 64), nn.ReLU(), nn.BatchNorm1d(64), nn.Linear(64, 33), nn.GELU(),
        nn.Dropout(0.2), nn.Linear(33, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4
    )
    schedule = schedulers.StepLR(optimizer, 20, 0.7)

    def step(at: int) -> None:
        x, y = lay(torch.randn(24, 37)), torch.randint(10, (24,))
        loss = F.cross_entropy(model(x), y, label_smoothing=0.1)
        descend(loss, optimizer, schedule)

    return Program(step, [model], [optimizer])


def cnn(lay: Layout) -> Program:
    """A convolutional classifier with batch norm, pooling and AdamW on a cosine schedule."""
    model = nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(12, 20, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(20), nn.SiLU(),
        nn.Conv2d(20, 20, 5, padding=2, groups=4), nn.LeakyReLU(0.1), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Dropout(0.1), nn.Linear(20, 7),
    )  # fmt: skip
    model = lay.module(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = schedulers.CosineAnnealingLR(optimizer, 40)

    def step(at: int) -> None:
        x, y = lay(torch.randn(6, 3, 17, 19)), torch.randint(7, (6,))
        descend(F.cross_entropy(model(x), y), optimizer, schedule)

    return Program(step, [model], [optimizer])


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outside)
        self.second = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outside)
        same = stride == 1 and inside == outside
        self.short = (
            nn.Identity()
            if same
            else nn.Sequential(
                nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.first(x)))
        return F.relu(self.norm2(self.second(y)) + self.short(x))


def resnet(lay: Layout) -> Program:
    """ResNet-18's shape, narrow, under SGD on a one-cycle schedule."""
    widths = (8, 8, 12, 16, 24)
    blocks: list[nn.Module] = [nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
    blocks.append(nn.MaxPool2d(3, 2, 1))
    for at in range(1, 5):
        blocks += [
            Block(widths[at - 1], widths[at], 1 + (at > 1)),
            Block(widths[at], widths[at], 1),
        ]
    model = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 5))
    model = lay.module(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    schedule = schedulers.OneCycleLR(optimizer, 0.1, total_steps=400)

    def step(at: int) -> None:
        x, y = lay(torch.randn(4, 3, 48, 48)), torch.randint(5, (4,))
        descend(F.cross_entropy(model(x), y), optimizer, schedule)

    return Program(step, [model], [optimizer])


def lstm(lay: Layout) -> Program:
    """A bidirectional LSTM tagger on padded sequences, under RMSprop."""
    embed, tags = nn.Embedding(50, 16, padding_idx=0), nn.Linear(36, 9)
    cells = nn.LSTM(16, 18, num_layers=2, bidirectional=True, dropout=0.2, batch_first=True)
    model = nn.ModuleList([embed, cells, tags])
    optimizer = torch.optim.RMSprop(model.parameters(), lr=2e-3, centered=True, momentum=0.5)
    schedule = schedulers.ExponentialLR(optimizer, 0.99)

    def step(at: int) -> None:
        words, truth = torch.randint(1, 50, (5, 11)), torch.randint(9, (5, 11))
        lengths = [11, 9, 7, 4, 1]
        packed = nn.utils.rnn.pack_padded_sequence(embed(words), lengths, batch_first=True)
        found, _ = nn.utils.rnn.pad_packed_sequence(cells(packed)[0], batch_first=True)
        loss = F.cross_entropy(tags(lay(found)).flatten(0, 1), truth.flatten(), ignore_index=0)
        descend(loss, optimizer, schedule)

    return Program(step, [model], [optimizer])


class Decoder(nn.Module):
    """A GPT-style block: causal attention, dropout, a GELU perceptron."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        split = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, -1)
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.drop(self.out(y.transpose(1, 2).reshape(batch, length, width)))
        return x + self.drop(self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh")))


def gpt(lay: Layout) -> Program:
    """A causal language model: tied weights, warm-up, clipping, gradients of two batches."""
    embed, places = nn.Embedding(61, 32), nn.Embedding(24, 32)
    body = nn.Sequential(*(Decoder(32, 4) for _ in range(2)), nn.LayerNorm(32))
    model = nn.ModuleList([embed, places, body])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95))
    schedule = schedulers.LambdaLR(
        optimizer, lambda at: min(1.0, (at + 1) / 10) * 0.5 * (1 + math.cos(at / 60))
    )

    def step(at: int) -> None:
        tokens = torch.randint(61, (3, 21))
        hidden = body(lay(embed(tokens[:, :-1]) + places(torch.arange(20))))
        logits = hidden @ embed.weight.t()
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()) / 2
        loss.backward()
        if at % 2:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()

    return Program(step, [model], [optimizer])


def bert(lay: Layout) -> Program:
    """An encoder of torch's own layers, with padding masks and dropout, under Adam."""
    embed = nn.Embedding(70, 24)
    layer = nn.TransformerEncoderLayer(24, 3, 48, 0.1, activation="gelu", batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    model = nn.ModuleList([embed, encoder, nn.Linear(24, 70)])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, amsgrad=True)
    schedule = schedulers.PolynomialLR(optimizer, 80, 0.9)

    def step(at: int) -> None:
        tokens = torch.randint(1, 70, (4, 13))
        padding = torch.arange(13)[None] >= torch.tensor([13, 10, 8, 5])[:, None]
        hidden = encoder(lay(embed(tokens)), src_key_padding_mask=padding)
        truth = tokens.masked_fill(padding, -100)
        descend(F.cross_entropy(model[2](hidden).transpose(1, 2), truth), optimizer, schedule)

    return Program(step, [model], [optimizer])


def vae(lay: Layout) -> Program:
    """A variational autoencoder: draws inside the model, two losses, a plateau schedule."""
    inward = nn.Sequential(nn.Linear(40, 32), nn.Tanh(), nn.Linear(32, 2 * 6))
    outward = nn.Sequential(nn.Linear(6, 32), nn.Softplus(), nn.Linear(32, 40))
    model = nn.ModuleList([inward, outward])
    optimizer = torch.optim.Adamax(model.parameters(), lr=4e-3)
    schedule = schedulers.ReduceLROnPlateau(optimizer, patience=3, factor=0.5)

    def step(at: int) -> None:
        x = lay(torch.rand(16, 40))
        mean, spread = inward(x).chunk(2, 1)
        z = mean + torch.exp(0.5 * spread) * torch.randn_like(spread)
        rebuilt = F.binary_cross_entropy_with_logits(outward(z), x, reduction="sum")
        loss = (rebuilt - 0.5 * (1 + spread - mean**2 - spread.exp()).sum()) / 16
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step(loss.item())

    return Program(step, [model], [optimizer])


def gan(lay: Layout) -> Program:
    """Two nets against each other, with spectral norm, two optimizers and a milestone schedule."""
    forge = nn.Sequential(
        nn.Linear(8, 24), nn.LayerNorm(24), nn.ELU(), nn.Linear(24, 20), nn.Sigmoid()
    )
    critic = nn.Sequential(nn.Linear(20, 24), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Linear(24, 1))
    first = torch.optim.Adam(forge.parameters(), lr=2e-3, betas=(0.5, 0.999))
    second = torch.optim.Adam(critic.parameters(), lr=2e-3, betas=(0.5, 0.999))
    schedule = schedulers.MultiStepLR(first, [30, 60], 0.5)

    def step(at: int) -> None:
        real, ones = lay(torch.rand(12, 20)), torch.ones(12, 1)
        made = forge(torch.randn(12, 8))
        judge = F.binary_cross_entropy_with_logits
        loss = judge(critic(real), ones) + judge(critic(made.detach()), torch.zeros(12, 1))
        descend(loss, second)
        descend(judge(critic(made), ones), first, schedule)

    return Program(step, [forge, critic], [first, second])


def unet(lay: Layout) -> Program:
    """A U-Net with transposed convolutions, group norm and bilinear sampling, under NAdam."""
    down1 = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU())
    down2 = nn.Sequential(nn.Conv2d(8, 12, 3, 2, 1), nn.InstanceNorm2d(12, affine=True), nn.Mish())
    up = nn.ConvTranspose2d(12, 8, 3, 2, 1, output_padding=1)
    head = nn.Conv2d(16, 2, 1)
    model = lay.module(nn.ModuleList([down1, down2, up, head]))
    optimizer = torch.optim.NAdam(model.parameters(), lr=2e-3)
    schedule = schedulers.CyclicLR(optimizer, 1e-3, 4e-3, 15, cycle_momentum=False)

    def step(at: int) -> None:
        x, y = lay(torch.randn(2, 1, 16, 20)), torch.randint(2, (2, 32, 40))
        high = down1(x)
        joined = torch.cat([high, up(down2(high))], 1)
        wide = F.interpolate(head(joined), scale_factor=2, mode="bilinear", align_corners=False)
        descend(F.cross_entropy(wide, y), optimizer, schedule)

    return Program(step, [model], [optimizer])


def mixed(lay: Layout) -> Program:
    """A perceptron and a convolution under bfloat16 autocast."""
    model = nn.Sequential(
        nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 24), nn.LayerNorm(24),
        nn.GELU(), nn.Linear(24, 4),
    )  # fmt: skip
    model = lay.module(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def step(at: int) -> None:
        x, y = lay(torch.randn(8, 2, 8, 8)), torch.randint(4, (8,))
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(model(x), y)
        descend(loss, optimizer)

    return Program(step, [model], [optimizer])


OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd-foreach": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, foreach=True),
    "sgd-fused": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, fused=True),
    "adam-foreach": lambda p: torch.optim.Adam(p, 1e-2, foreach=True),
    "adamw-fused": lambda p: torch.optim.AdamW(p, 1e-2, fused=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, 0.05, lr_decay=0.01),
    "adagrad-fused": lambda p: torch.optim.Adagrad(p, 0.05, fused=True),
    "adadelta": lambda p: torch.optim.Adadelta(p, 1.0),
    "radam": lambda p: torch.optim.RAdam(p, 1e-2, decoupled_weight_decay=True, weight_decay=0.1),
    "asgd": lambda p: torch.optim.ASGD(p, 0.05),
    "rprop": lambda p: torch.optim.Rprop(p, 1e-3),
    "rmsprop-foreach": lambda p: torch.optim.RMSprop(p, 1e-3, foreach=True),
}


def optimizers(lay: Layout) -> Program:
    """One small net for every further optimizer, with a chain of the other schedulers."""
    nets = [nn.Sequential(nn.Linear(9, 8), nn.Tanh(), nn.Linear(8, 2)) for _ in OPTIMIZERS]
    made = [make(net.parameters()) for net, make in zip(nets, OPTIMIZERS.values(), strict=True)]
    schedules = [
        schedulers.SequentialLR(
            each,
            [
                schedulers.LinearLR(each, 0.3, total_iters=5),
                schedulers.CosineAnnealingWarmRestarts(each, 7),
            ],
            [5],
        )
        for each in made
    ]

    def step(at: int) -> None:
        x, y = lay(torch.randn(10, 9)), torch.randn(10, 2)
        for net, optimizer, schedule in zip(nets, made, schedules, strict=True):
            loss = F.huber_loss(net(x), y)
            optimizer.zero_grad(set_to_none=bool(at % 2))
            loss.backward()
            nn.utils.clip_grad_value_(net.parameters(), 0.5)
            optimizer.step()
            schedule.step()

    return Program(step, list(nets), made)


PROGRAMS: dict[str, Callable[[Layout], Program]] = {
    each.__name__: each
    for each in (mlp, cnn, resnet, lstm, gpt, bert, vae, gan, unet, mixed, optimizers)
}


@dataclass(frozen=True, slots=True)
class Layout:
    """How inputs lie in memory: what must make no difference."""

    name: str = "plain"

    def __call__(self, x: Tensor) -> Tensor:
        if self.name == "channels_last" and x.dim() == 4:
            return x.contiguous(memory_format=torch.channels_last)
        if self.name == "sliced":
            wide = torch.zeros(*x.shape[:-1], 2 * x.shape[-1] + 1)
            wide[..., 1::2] = x
            return wide[..., 1::2]
        if self.name == "misaligned":
            flat = torch.zeros(x.numel() + 1)
            return flat[1:].view(x.shape).copy_(x)
        if self.name == "transposed":
            return x.transpose(0, -1).contiguous().transpose(0, -1)
        return x

    def module(self, model: Any) -> Any:
        """Return the model in this layout."""
        if self.name == "channels_last":
            return model.to(memory_format=torch.channels_last)
        return model


def descend(loss: Tensor, optimizer: torch.optim.Optimizer, schedule: Any = None) -> None:
    """Take one step down."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if schedule is not None:
        schedule.step()


def train(name: str, steps: int, layout: str = "plain") -> str:
    """Train a program for some steps and return the digest of what came of it."""
    torch.manual_seed(7)
    program = PROGRAMS[name](Layout(layout))
    for at in range(steps):
        program.step(at)
    return digest(program)


def digest(program: Program) -> str:
    """Return the digest over every tensor's bits, in order, whatever its layout."""
    found = hashlib.blake2b(digest_size=16)
    for each in tensors(program):
        found.update(each.detach().contiguous().numpy().tobytes())
    return found.hexdigest()


def tensors(program: Program) -> Iterator[Tensor]:
    """Yield parameters, buffers, gradients and optimizer states."""
    for module in program.modules:
        yield from (*module.parameters(), *module.buffers())
        yield from (each.grad for each in module.parameters() if each.grad is not None)
    for optimizer in program.optimizers:
        for state in optimizer.state.values():
            yield from (each for each in state.values() if isinstance(each, Tensor))


def main() -> None:
    """Train the programs named and print their digests as one JSON document."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=list(PROGRAMS))
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--layout", choices=LAYOUTS, default="plain")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--stock", action="store_true", help="by torch's own operators")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found: dict[str, str] = {}
    if options.stock:
        for name in options.names:
            found[name] = train(name, options.steps, options.layout)
    else:
        from gensyn_lightning.repops.registry import reproducible

        with reproducible():
            for name in options.names:
                found[name] = train(name, options.steps, options.layout)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
