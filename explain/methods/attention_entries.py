"""The entries of maps of attention, of vision transformers."""

from explain.methods.spec import Method, Parameter

ATTENTION_METHODS: tuple[Method, ...] = (
    Method(
        "legrad",
        "LeGrad",
        "attention.legrad",
        "how much the class gains from more attention to each patch, in every block; for vision transformers",
        "Bousselham et al., ICCV 2025, arXiv:2404.03214",
        "attention",
        (Parameter("blocks", 0, "only so many of the last blocks; 0 is all", 0, 1000),),
        layered=False,
        signed=False,
        cost="1 forward, 1 backward through each block",
        access="modules",
        passes=lambda channels, positions, given: 2.5,
    ),
    Method(
        "attention_rollout",
        "Attention rollout",
        "attention.attention_rollout",
        "where the attention of all blocks together comes from; no class; for vision transformers",
        "Abnar & Zuidema, ACL 2020, arXiv:2005.00928",
        "attention",
        layered=False,
        signed=False,
        class_specific=False,
        cost="1 forward",
        access="modules",
        passes=lambda channels, positions, given: 1.5,
    ),
    Method(
        "attention_relevance",
        "Attention relevance",
        "attention.attention_relevance",
        "attention weighted by its gradient, through all blocks; for vision transformers",
        "Chefer et al., ICCV 2021, arXiv:2103.15679",
        "attention",
        layered=False,
        signed=False,
        cost="1 forward, 1 backward",
        access="modules",
        passes=lambda channels, positions, given: 3,
    ),
)
