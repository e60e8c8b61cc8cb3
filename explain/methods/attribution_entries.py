"""The entries of attributions of pixels and layers, by Captum."""

from collections.abc import Callable
from typing import Any

from explain.methods.spec import Method, Parameter
from models.access import Access

CHANNELS = ("sum", "largest")
BASE = Parameter(
    "base",
    "mean",
    "the baseline: the mean color of the training data, or the image blurred",
    choices=("mean", "blur"),
)
SEED = Parameter("seed", 0, "seed of the random numbers", 0, 2**31)
OF_REGIONS = (
    Parameter("kind", "superpixels", "regions that are removed together", choices=("superpixels", "grid")),
    Parameter("count", 60, "about how many regions", 4, 1000),
)
FITTED = (
    Parameter("samples", 300, "how many random subsets of the regions", 10, 20_000),
    *OF_REGIONS,
    BASE,
    SEED,
)


def pixels(
    name: str,
    title: str,
    function: str,
    summary: str,
    citation: str,
    parameters: tuple[Parameter, ...] = (),
    cost: str = "1 forward, 1 backward",
    passes: Callable[[dict[str, Any]], float] = lambda given: 3,
    signed: bool = True,
    complete: bool = False,
    access: Access = "gradients",
) -> Method:
    """A method whose map is as large as the input. `passes`: of one image, in forward passes; a
    backward pass is two."""
    return Method(
        name,
        title,
        function,
        summary,
        citation,
        "network",
        parameters,
        layered=False,
        coarse=False,
        signed=signed,
        complete=complete,
        cost=cost,
        access=access,
        passes=lambda channels, positions, given: passes(given),
    )


ATTRIBUTION_METHODS: tuple[Method, ...] = (
    pixels(
        "input_gradient",
        "Input gradient",
        "attribution.input_gradient",
        "how much the score changes with each pixel",
        "Simonyan et al. 2013, arXiv:1312.6034",
        (Parameter("channels", "largest", "of the colors", choices=CHANNELS),),
        signed=False,
    ),
    pixels(
        "input_x_gradient",
        "Input × gradient",
        "attribution.input_x_gradient",
        "each pixel times its gradient",
        "Shrikumar et al. 2016, arXiv:1605.01713",
    ),
    pixels(
        "integrated_gradients",
        "Integrated Gradients",
        "attribution.integrated_gradients",
        "gradients along the path from a baseline; they sum to the difference of the scores",
        "Sundararajan et al., ICML 2017, arXiv:1703.01365",
        (Parameter("steps", 50, "points on the path", 2, 1000), BASE),
        "steps × (1 forward, 1 backward)",
        lambda given: 3 * given["steps"],
        complete=True,
    ),
    pixels(
        "smooth_grad",
        "SmoothGrad",
        "attribution.smooth_grad",
        "the mean gradient of noisy copies",
        "Smilkov et al. 2017, arXiv:1706.03825",
        (
            Parameter("samples", 25, "noisy copies", 1, 1000),
            Parameter("spread", 0.15, "of the noise, as a fraction of the image's range", 0.001, 2),
            Parameter("channels", "largest", "of the colors", choices=CHANNELS),
            SEED,
        ),
        "samples × (1 forward, 1 backward)",
        lambda given: 3 * given["samples"],
        signed=False,
    ),
    pixels(
        "deep_lift",
        "DeepLift",
        "attribution.deep_lift",
        "what each pixel adds, compared with a baseline, by the rescale rule",
        "Shrikumar et al., ICML 2017, arXiv:1704.02685",
        (BASE,),
        "2 forwards, 2 backwards",
        lambda given: 25,
        complete=True,
        access="modules",
    ),
    pixels(
        "gradient_shap",
        "GradientSHAP",
        "attribution.gradient_shap",
        "gradients at random points between baselines and noisy copies",
        "Lundberg & Lee, NIPS 2017, arXiv:1705.07874",
        (
            Parameter("samples", 20, "random points", 1, 1000),
            Parameter("spread", 0.09, "of the noise, as a fraction of the image's range", 0, 2),
            SEED,
        ),
        "samples × (1 forward, 1 backward)",
        lambda given: 3 * given["samples"],
    ),
    pixels(
        "guided_backprop",
        "Guided backpropagation",
        "attribution.guided_backprop",
        "the gradient, without what lowers the score at any ReLU",
        "Springenberg et al. 2014, arXiv:1412.6806",
        (Parameter("channels", "sum", "of the colors", choices=CHANNELS),),
        passes=lambda given: 7,
        access="modules",
    ),
    pixels(
        "deconvolution",
        "Deconvolution",
        "attribution.deconvolution",
        "the positive gradient at every ReLU, whatever its input",
        "Zeiler & Fergus, ECCV 2014, arXiv:1311.2901",
        (Parameter("channels", "sum", "of the colors", choices=CHANNELS),),
        passes=lambda given: 7,
        access="modules",
    ),
    Method(
        "guided_grad_cam",
        "Guided Grad-CAM",
        "attribution.guided_grad_cam",
        "guided backpropagation where Grad-CAM is positive",
        "Selvaraju et al., ICCV 2017, arXiv:1610.02391",
        "network",
        cost="2 forwards, 1 backward",
        passes=lambda c, positions, given: 5,
        coarse=False,
        access="modules",
    ),
    Method(
        "layer_grad_cam",
        "LayerGradCam (Captum)",
        "attribution.layer_grad_cam",
        "Grad-CAM as Captum computes it, to compare",
        "Selvaraju et al., ICCV 2017, arXiv:1610.02391",
        "network",
        cost="1 forward, 1 backward",
        passes=lambda c, positions, given: 3,
    ),
    pixels(
        "lrp",
        "LRP",
        "relevance.lrp",
        "the score propagated back layer by layer; for plain networks of convolutions and ReLUs",
        "Bach et al., PLoS ONE 2015, doi:10.1371/journal.pone.0130140",
        (),
        "2 forwards, 1 backward, a copy of the network",
        lambda given: 6,
        access="modules",
    ),
    pixels(
        "occlusion",
        "Occlusion",
        "regions.occlusion",
        "what the score loses where a square is covered",
        "Zeiler & Fergus, ECCV 2014, arXiv:1311.2901",
        (
            Parameter("window", 0.15, "the square's side, as a fraction of the image's", 0.01, 0.9),
            Parameter("stride", 0.5, "as a fraction of the window", 0.05, 1),
            BASE,
        ),
        "1 forward for each square",
        lambda given: (1 / (given["window"] * given["stride"])) ** 2,
        access="scores",
    ),
    pixels(
        "feature_ablation",
        "Feature ablation",
        "regions.feature_ablation",
        "what the score loses without each region",
        "Captum",
        (*OF_REGIONS, BASE),
        "1 forward for each region",
        lambda given: given["count"] + 1,
        access="scores",
    ),
    pixels(
        "lime",
        "LIME",
        "regions.lime",
        "a linear model of the score over regions, fitted near the image",
        "Ribeiro et al., KDD 2016, arXiv:1602.04938",
        FITTED,
        "1 forward for each sample",
        lambda given: given["samples"],
        access="scores",
    ),
    pixels(
        "kernel_shap",
        "KernelSHAP",
        "regions.kernel_shap",
        "Shapley values of regions, by weighted regression",
        "Lundberg & Lee, NIPS 2017, arXiv:1705.07874",
        FITTED,
        "1 forward for each sample",
        lambda given: given["samples"],
        complete=True,
        access="scores",
    ),
)
