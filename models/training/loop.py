"""The loop that every training shares: resuming, epochs under Lightning, and Ctrl-C."""

import logging
import signal
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint
from torch.utils.data import DataLoader

from models.errors import UserError
from models.files.atomic import atomic
from models.interrupts import raise_if_interrupted
from models.memory import reuse_memory
from models.training.progress import Progress


def resume_file(out: Path) -> Path:
    return out.with_suffix(".resume.ckpt")


def begin(out: Path, differences: Callable[[dict[str, Any]], list[str]], again: bool) -> Path | None:
    """The file to resume from, None for a new training. `differences`: phrases on how a stored plan differs
    from the requested one. Raises UserError where `out` holds another training, or a finished one."""
    resume, before = resume_file(out), Progress.read(out)
    if before and before.alive:
        raise UserError(
            f"{out} is being trained by process {before.pid}: wait, stop it, or choose another --out."
        )
    if again:
        resume.unlink(missing_ok=True)
        return None
    if before is None:
        if out.exists():
            raise UserError(f"{out} exists: choose another --out, or add --again to train anew.")
        return None
    if before.state == "finished":
        raise UserError(f"{out} is finished: choose another --out, or add --again to train anew.")
    if differs := differences(before.plan):
        raise UserError(
            f"{out} was begun with {'; '.join(differs[:3])}: give the same options to go on, or --again to "
            "train anew."
        )
    return whole(resume) if resume.exists() else None


def attempt(
    out: Path,
    progress: Progress,
    differences: Callable[[dict[str, Any]], list[str]],
    again: bool,
    seed: int,
    steps: Callable[[Path | None], bool],
) -> bool:
    """Begin or resume (`begin`); `steps` trains from that file and returns whether it finished. The state in
    `progress` is updated, except for `finish`. True when finished, False when stopped."""
    resume = begin(out, differences, again)
    quiet()
    reuse_memory()
    L.seed_everything(seed, verbose=False)
    progress.say(out, "running", "reading images")
    try:
        ended = steps(resume)
    except KeyboardInterrupt:
        ended = False
    except Exception as error:
        with suppress(UserError):  # on a full disk: the first error is reported
            progress.say(
                out, "failed", str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            )
        raise
    if not ended:
        progress.say(out, "stopped", "the same command goes on")
    return ended


def finish(out: Path, progress: Progress, message: str = "") -> None:
    resume_file(out).unlink(missing_ok=True)
    progress.say(out, "finished", message)


class ResumeFile(Checkpoint):
    """Writes `resume_file` after every epoch, under a temporary name first: a disk that fills up leaves the
    one before."""

    def __init__(self, out: Path):
        self.file = resume_file(out)

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        try:
            with atomic(self.file) as temporary:
                trainer.save_checkpoint(temporary)
        except (OSError, RuntimeError) as error:  # PyTorch's writer has its own kind for a full disk
            raise UserError(
                f"'{self.file}' cannot be written ({str(error).splitlines()[0][:100]}): what was trained "
                "before is kept; free space, and the same command goes on."
            ) from error


class StopAtBatch(L.Callback):
    """Ends where a signal came whose exception was lost."""

    def on_train_batch_start(self, *_: Any) -> None:
        raise_if_interrupted()

    def on_validation_batch_start(self, *_: Any) -> None:
        raise_if_interrupted()


def whole(resume: Path) -> Path | None:
    """The file to resume from; None where it is damaged: it is renamed, a line on stderr says so, and the
    training begins anew."""
    try:
        torch.load(resume, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and PyTorch each have their own kinds
        aside = resume.with_name(resume.name + ".damaged")
        resume.replace(aside)
        why = f"'{resume}' cannot be read ({type(error).__name__})"
        print(f"{why}: it is set aside as '{aside.name}', and the training begins anew.", file=sys.stderr)
        return None
    return resume


def run_epochs(
    trainee: L.LightningModule,
    fitted: DataLoader[Any],
    judged: DataLoader[Any],
    epochs: int,
    callbacks: list[L.Callback],
    resume: Path | None = None,
    clip: float = 0.0,
) -> bool:
    """Train with bf16 autocast on the available device; True when finished, False when stopped."""
    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator="auto",
        devices=1,
        precision="bf16-mixed",
        logger=False,
        callbacks=[*callbacks, StopAtBatch()],
        gradient_clip_val=clip or None,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        enable_checkpointing=any(isinstance(c, Checkpoint) for c in callbacks),
    )
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(trainee, fitted, judged, ckpt_path=resume, weights_only=True)
    except SystemExit:  # what Lightning makes of Ctrl-C, which it ignores from then on
        signal.signal(signal.SIGINT, handler)
        return False
    return not trainer.interrupted


def quiet() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
