"""The Lightning module of a training: steps, validation, optimizer and schedule."""

from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from models.data.tensors import readable
from models.preprocessing import Preprocessing
from models.training.recipe import Recipe
from models.training.task import Task


class LitClassifier(L.LightningModule):
    """`preprocessing` None: batches are features, neither augmented nor normalized. `still`: modules that
    stay in eval mode, so that frozen parts keep their batch-norm statistics and apply no dropout."""

    def __init__(
        self,
        model: nn.Module,
        preprocessing: Preprocessing | None,
        recipe: Recipe,
        task: Task,
        rate: float,
        still: list[nn.Module] | None = None,
    ):
        super().__init__()
        self.model, self.preprocessing, self.recipe, self.task, self.rate = (
            model,
            preprocessing,
            recipe,
            task,
            rate,
        )
        self.still = list(still or [])
        self.judged: list[tuple[Tensor, Tensor]] = []

    def on_train_epoch_start(self) -> None:
        for module in self.still:
            module.eval()

    def network_input(self, x: Tensor, vary: bool) -> Tensor:
        """The network's input for a batch: augmented where `vary`, then normalized."""
        if self.preprocessing is None:
            return x
        return self.preprocessing.normalize(
            self.recipe.augmentation(x.to(self.device)) if vary else x, self.device
        )

    def training_step(self, batch: tuple[Tensor, Tensor], number: int) -> Tensor:
        # a step draws the same random numbers whether the training was resumed or not
        torch.manual_seed((self.recipe.seed * 100_003 + self.current_epoch) * 1_000_003 + number)
        x, y = self.network_input(batch[0], vary=True), batch[1]
        if self.recipe.mixup:
            fraction = float(torch.distributions.Beta(self.recipe.mixup, self.recipe.mixup).sample())
            other = torch.randperm(len(x), device=x.device)
            answer = self.model(fraction * x + (1 - fraction) * x[other]).float()
            loss = fraction * self.task.loss(answer, y) + (1 - fraction) * self.task.loss(answer, y[other])
        else:
            answer = self.model(x).float()
            loss = self.task.loss(answer, y)
            self._log_measures(answer, y)
        self.log("loss", loss.detach(), prog_bar=True, on_step=False, on_epoch=True)
        return loss

    def _log_measures(self, answer: Tensor, y: Tensor) -> None:
        """On augmented images and with dropout, as the loss."""
        if len(kept := y[readable(y)]):
            for name, value in self.task.batch_measures(answer[readable(y)], kept).items():
                self.log(name, value, on_step=False, on_epoch=True, batch_size=len(kept))

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        kept = readable(batch[1])
        self.judged.append(
            (self.model(self.network_input(batch[0], vary=False)).float()[kept].cpu(), batch[1][kept].cpu())
        )

    def on_validation_epoch_end(self) -> None:
        answer, truth = (torch.cat(part) for part in zip(*self.judged, strict=True))
        self.judged = []
        for name, value in self.task.measures(answer, truth).items():
            self.log(f"val_{name}", value, prog_bar=True)

    def configure_optimizers(self) -> Any:
        recipe, learning = self.recipe, [p for p in self.model.parameters() if p.requires_grad]
        if recipe.optimizer == "sgd":
            optimizer: Any = torch.optim.SGD(
                learning, self.rate, momentum=0.9, nesterov=True, weight_decay=recipe.weight_decay
            )
        else:
            optimizer = torch.optim.AdamW(learning, self.rate, weight_decay=recipe.weight_decay, fused=True)
        if recipe.schedule == "plateau":
            plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=3)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "val_loss"}}
        steps = max(
            5, int(self.trainer.estimated_stepping_batches)
        )  # OneCycleLR divides by its first quarter less one
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.rate, total_steps=steps, pct_start=0.25
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
