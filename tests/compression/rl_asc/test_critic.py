"""The discriminator's step and the generator's, taken together, do not disturb each other."""

from __future__ import annotations

import torch

from compression.rl_asc.critic import Critic, critic_losses
from compression.rl_asc.networks import Design

DESIGN = Design((32, 32, 3), 3, 4)
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def batch() -> Batch:
    """Return frames that are bright to the left, made ones that are not, and masks."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(4, 3, 32, 32, generator=generator)
    images[..., :16] += 1
    masks = torch.nn.functional.one_hot(torch.randint(3, (4, 4, 4), generator=generator), 3).permute(0, 3, 1, 2)
    return images / 2, torch.rand(4, 3, 32, 32, generator=generator), masks.float()


def test_each_loss_has_its_gradient_where_it_belongs() -> None:
    torch.manual_seed(0)
    critic, (images, shown, masks) = Critic(DESIGN), batch()
    shown.requires_grad_(True)
    hinge, fooling, matching = critic_losses(critic, images, shown, masks)
    hinge.backward()  # type: ignore[no-untyped-call]
    assert shown.grad is None and all(each.grad is not None for each in critic.parameters())
    critic.zero_grad()
    (fooling + matching).backward()  # type: ignore[no-untyped-call]
    assert shown.grad is not None and shown.grad.any()
    assert all(each.grad is None for each in critic.parameters())


def test_a_critic_learns_to_tell_and_what_is_original_cannot_be_told() -> None:
    torch.manual_seed(0)
    critic, (images, shown, masks) = Critic(DESIGN), batch()
    optimizer = torch.optim.Adam(critic.parameters(), 1e-2)
    for _ in range(12):
        optimizer.zero_grad()
        critic_losses(critic, images, shown, masks)[0].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    told, fooled, apart = critic_losses(critic, images, shown, masks)
    same, original, none = critic_losses(critic, images, images, masks)
    assert told < 1 < 1.9 < same and fooled > original and apart > none == 0
