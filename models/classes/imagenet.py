"""The 1000 classes of ImageNet-1k in the order of the outputs of networks trained on it."""


def wordnet_ids() -> tuple[str, ...]:
    """The 1000 WordNet ids."""
    from timm.data import ImageNetInfo

    return tuple(ImageNetInfo().label_names())


def imagenet_names() -> tuple[str, ...]:
    """The 1000 names; the few that two classes share carry their WordNet id."""
    from torchvision.models import MobileNet_V2_Weights

    plain = MobileNet_V2_Weights.IMAGENET1K_V1.meta["categories"]
    return tuple(
        n if plain.count(n) == 1 else f"{n} ({w})" for n, w in zip(plain, wordnet_ids(), strict=True)
    )
