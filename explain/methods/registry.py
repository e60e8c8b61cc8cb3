"""The registry of explanation methods: adding a method is adding one entry here.

The dashboard's controls, the command line, the contract tests and the table in the documentation read these entries.
"""

from collections.abc import Callable, Iterable
from typing import Any

from explain.methods.spec import Method, Parameter
from models.errors import UserError

METHODS: dict[str, Method] = {}


def register(method: Method) -> Method:
    """Add an entry. Raises ValueError where the name is taken."""
    if method.name in METHODS:
        raise ValueError(f"method '{method.name}' is registered twice")
    METHODS[method.name] = method
    return method


def get(name: str) -> Method:
    """Raises UserError for an unknown name, with the nearest ones."""
    if name not in METHODS:
        raise UserError(f"No method '{name}': {_near(name, METHODS)}'python launch.py methods' lists all.")
    return METHODS[name]


def from_a_pass(name: str) -> Method:
    """A method that needs one captured pass and no more, as runs over many images do. Raises UserError for others."""
    names = names_from_a_pass()
    if name not in METHODS:
        raise UserError(f"No method '{name}': {_near(name, names)}A run takes {', '.join(names)}.")
    if name not in names:
        raise UserError(f"{METHODS[name].title} runs the network many times for one image: a run takes "
                        f"{', '.join(names)}; for single images use 'explain', or Inspect.")  # fmt: skip
    return METHODS[name]


def names_from_a_pass() -> list[str]:
    return [m.name for m in METHODS.values() if m.needs == "pass"]


def _near(name: str, names: Iterable[str]) -> str:
    """'did you mean ...? ' with the nearest of the methods' names and titles, or ''."""
    import difflib

    known = {_plain(text): choice for choice in names for text in (METHODS[choice].title, choice)}
    found = [_plain(name)] if _plain(name) in known else difflib.get_close_matches(_plain(name), known, 3)
    choices = list(dict.fromkeys(known[text] for text in found))
    return f"did you mean {' or '.join(choices)}? " if choices else ""


def _plain(text: str) -> str:
    """Without case, spaces and signs: Grad-CAM++ is gradcampp."""
    return "".join(c for c in text.lower().replace("+", "p").replace("×", "x") if c.isalnum())


TOP = Parameter("top", 0, "only so many of the strongest channels; 0 is all", 0, 100_000)

# class-activation maps from one captured pass

register(Method(
    "grad_cam", "Grad-CAM", "cam.grad_cam", "channels weighted by their mean gradient",
    "Selvaraju et al., ICCV 2017, arXiv:1610.02391",
))  # fmt: skip
register(Method(
    "grad_cam_pp", "Grad-CAM++", "cam.grad_cam_pp", "positive gradients, weighted so that several instances count alike",
    "Chattopadhay et al., WACV 2018, arXiv:1710.11063",
))  # fmt: skip
register(Method(
    "layer_cam", "LayerCAM", "cam.layer_cam", "every place weighted by its own positive gradient; also for early layers",
    "Jiang et al., IEEE TIP 2021, doi:10.1109/TIP.2021.3089943",
))  # fmt: skip
register(Method(
    "hires_cam", "HiResCAM", "cam.hires_cam", "gradient times activation, place by place",
    "Draelos & Carin 2020, arXiv:2011.08891",
))  # fmt: skip
register(Method(
    "xgrad_cam", "XGrad-CAM", "cam.xgrad_cam", "channels weighted by gradients that the activation scales",
    "Fu et al., BMVC 2020, arXiv:2008.02312",
))  # fmt: skip
register(Method(
    "grad_cam_elementwise", "Grad-CAM element-wise", "cam.grad_cam_elementwise", "gradient times activation, its positive part alone",
    "pytorch-grad-cam (Gildenblat et al. 2021)", signed=False,
))  # fmt: skip
register(Method(
    "eigen_cam", "Eigen-CAM", "cam.eigen_cam", "first principal component of the activations; no class",
    "Muhammad & Yeasin, IJCNN 2020, arXiv:2008.00299", class_specific=False, cost="1 forward", passes=lambda c, places, given: 1,
))  # fmt: skip
register(Method(
    "eigen_grad_cam", "EigenGrad-CAM", "cam.eigen_grad_cam", "first principal component of gradient times activation",
    "after Muhammad & Yeasin 2020; pytorch-grad-cam (Gildenblat et al. 2021)",
))  # fmt: skip
register(Method(
    "fem", "FEM", "cam.fem", "channels count where they are far above their own mean; no class",
    "Fuad et al., IPTA 2020, hal-02963298", signed=False, class_specific=False, cost="1 forward", passes=lambda c, places, given: 1,
    parameters=(
        Parameter("sigmas", 2.0, "how many deviations above the mean a place must be", 0, 10),
        Parameter("weight", "activation", "of a channel: its mean activation, or (pytorch-grad-cam) its share of strong places",
                  choices=("activation", "share")),
    ),
))  # fmt: skip

# class-activation maps that run the network again

register(Method(
    "cam", "CAM", "rerun.cam", "the weights of the last layer themselves; for networks that end in average pooling and one linear layer",
    "Zhou et al., CVPR 2016, arXiv:1512.04150", "network",
))  # fmt: skip
register(Method(
    "ablation_cam", "Ablation-CAM", "rerun.ablation_cam", "channels weighted by what the score loses without them",
    "Desai & Ramaswamy, WACV 2020, doi:10.1109/WACV45572.2020.9093360", "network", (TOP,), cost="1 forward, C times from the layer on",
    passes=lambda c, places, given: 1 + 0.02 * (given["top"] or c),
))  # fmt: skip
register(Method(
    "score_cam", "Score-CAM", "rerun.score_cam", "channels weighted by the score of the image seen through them",
    "Wang et al., CVPRW 2020, arXiv:1910.01279", "network", (TOP,), cost="1 + C forwards",
    passes=lambda c, places, given: 1 + (given["top"] or c),
))  # fmt: skip
register(Method(
    "recipro_cam", "Recipro-CAM", "rerun.recipro_cam", "what each place of the layer says alone",
    "Byun & Lee 2022, arXiv:2209.14074", "network",
    (Parameter("gaussian", True, "each place with its neighbours"),), signed=False, cost="1 forward, h·w times from the layer on",
    passes=lambda c, places, given: 1 + 0.02 * places,
))  # fmt: skip

register(Method(
    "fullgrad", "FullGrad", "fullgrad.fullgrad", "what the input and the biases of all layers add, as magnitudes",
    "Srinivas & Fleuret, NeurIPS 2019, arXiv:1905.00780", "network", layered=False, coarse=False, signed=False, cost="1 forward, 1 backward",
    passes=lambda c, places, given: 4,
))  # fmt: skip

register(Method(
    "shapley_cam", "ShapleyCAM", "rerun.shapley_cam", "channels weighted by their Shapley value to second order",
    "Cai 2025, arXiv:2501.06261", "network", cost="1 forward, 2 backwards from the output to the layer", passes=lambda c, places, given: 1.5,
))  # fmt: skip

# by pytorch-grad-cam

register(Method(
    "finer_cam", "FinerCAM", "adapter.finer_cam", "what sets the class apart from those most like it",
    "Zhang et al., CVPR 2025; pytorch-grad-cam", "network",
    (Parameter("others", 3, "how many of the nearest classes", 1, 100), Parameter("alpha", 1.0, "how strongly they count", 0, 5)),
    differences=False, cost="1 forward, 1 backward", passes=lambda c, places, given: 6,
))  # fmt: skip
register(Method(
    "kpca_cam", "KPCA-CAM", "adapter.kpca_cam", "first component of a kernel PCA of the activations; no class",
    "Karmani et al. 2024; pytorch-grad-cam", "network",
    (Parameter("kernel", "sigmoid", "of the PCA", choices=("sigmoid", "rbf", "poly", "cosine", "linear")),), class_specific=False,
    cost="1 forward, 1 backward, a kernel PCA", passes=lambda c, places, given: 4,
))  # fmt: skip

register(Method(
    "concepts", "Concept regions", "adapter.concepts", "deep feature factorisation: where one of a few concepts is; no class",
    "Collins et al., ECCV 2018, arXiv:1806.10206; pytorch-grad-cam", "network",
    (Parameter("count", 5, "into how many concepts", 2, 32), Parameter("which", 1, "the how-many-th strongest", 1, 32)),
    signed=False, class_specific=False, cost="1 forward, a factorisation", passes=lambda c, places, given: 2,
))  # fmt: skip

# attributions of pixels, by Captum

CHANNELS = ("sum", "largest")
BASE = Parameter("base", "mean", "what absence looks like: the mean colour of the training data, or the image blurred", choices=("mean", "blur"))
SEED = Parameter("seed", 0, "of the random numbers", 0, 2**31)
OF_REGIONS = (Parameter("kind", "superpixels", "regions that are taken away together", choices=("superpixels", "grid")),
           Parameter("count", 60, "about how many regions", 4, 1000))  # fmt: skip
FITTED = (Parameter("samples", 300, "how many random subsets of the regions", 10, 20_000), *OF_REGIONS, BASE, SEED)


def pixels(name: str, title: str, function: str, summary: str, citation: str, parameters: tuple[Parameter, ...] = (),
           cost: str = "1 forward, 1 backward", passes: Callable[[dict[str, Any]], float] = lambda given: 3,
           signed: bool = True, complete: bool = False) -> Method:  # fmt: skip
    """Register a method whose map is as large as the input. `passes`: of one image, in forward passes; a backward pass is two."""
    return register(Method(name, title, function, summary, citation, "network", parameters, layered=False, coarse=False, signed=signed,
                           complete=complete, cost=cost, passes=lambda channels, places, given: passes(given)))  # fmt: skip


pixels("input_gradient", "Input gradient", "attribution.input_gradient", "how much the score changes with each pixel",
       "Simonyan et al. 2013, arXiv:1312.6034", (Parameter("channels", "largest", "of the colours", choices=CHANNELS),), signed=False)  # fmt: skip
pixels("input_x_gradient", "Input × gradient", "attribution.input_x_gradient", "each pixel times its gradient",
       "Shrikumar et al. 2016, arXiv:1605.01713")  # fmt: skip
pixels("integrated_gradients", "Integrated Gradients", "attribution.integrated_gradients",
       "gradients along the way from a baseline; they sum to the difference of the scores", "Sundararajan et al., ICML 2017, arXiv:1703.01365",
       (Parameter("steps", 50, "points on the way", 2, 1000), BASE), "steps × (1 forward, 1 backward)", lambda given: 3 * given["steps"],
       complete=True)  # fmt: skip
pixels("smooth_grad", "SmoothGrad", "attribution.smooth_grad", "the mean gradient of noisy copies", "Smilkov et al. 2017, arXiv:1706.03825",
       (Parameter("samples", 25, "noisy copies", 1, 1000), Parameter("spread", 0.15, "of the noise, as a share of the image's range", 0.001, 2),
        Parameter("channels", "largest", "of the colours", choices=CHANNELS), SEED),
       "samples × (1 forward, 1 backward)", lambda given: 3 * given["samples"], signed=False)  # fmt: skip
pixels("deep_lift", "DeepLift", "attribution.deep_lift", "what each pixel adds, compared with a baseline, by the rescale rule",
       "Shrikumar et al., ICML 2017, arXiv:1704.02685", (BASE,), "2 forwards, 2 backwards", lambda given: 25, complete=True)  # fmt: skip
pixels("gradient_shap", "GradientSHAP", "attribution.gradient_shap", "gradients at random places between baselines and noisy copies",
       "Lundberg & Lee, NIPS 2017, arXiv:1705.07874",
       (Parameter("samples", 20, "random places", 1, 1000), Parameter("spread", 0.09, "of the noise, as a share of the image's range", 0, 2), SEED),
       "samples × (1 forward, 1 backward)", lambda given: 3 * given["samples"])  # fmt: skip
pixels("guided_backprop", "Guided backpropagation", "attribution.guided_backprop", "the gradient, without what lowers the score at any ReLU",
       "Springenberg et al. 2014, arXiv:1412.6806", (Parameter("channels", "sum", "of the colours", choices=CHANNELS),),
       passes=lambda given: 7)  # fmt: skip
pixels("deconvolution", "Deconvolution", "attribution.deconvolution", "the positive gradient at every ReLU, whatever its input",
       "Zeiler & Fergus, ECCV 2014, arXiv:1311.2901", (Parameter("channels", "sum", "of the colours", choices=CHANNELS),),
       passes=lambda given: 7)  # fmt: skip
register(Method(
    "guided_grad_cam", "Guided Grad-CAM", "attribution.guided_grad_cam", "guided backpropagation where Grad-CAM is positive",
    "Selvaraju et al., ICCV 2017, arXiv:1610.02391", "network", cost="2 forwards, 1 backward", passes=lambda c, places, given: 5, coarse=False,
))  # fmt: skip
register(Method(
    "layer_grad_cam", "LayerGradCam (Captum)", "attribution.layer_grad_cam", "Grad-CAM as Captum computes it, to compare",
    "Selvaraju et al., ICCV 2017, arXiv:1610.02391", "network", cost="1 forward, 1 backward", passes=lambda c, places, given: 3,
))  # fmt: skip
pixels("lrp", "LRP", "relevance.lrp", "the score handed back layer by layer; for plain networks of convolutions and ReLUs",
       "Bach et al., PLoS ONE 2015, doi:10.1371/journal.pone.0130140", (), "2 forwards, 1 backward, a copy of the network",
       lambda given: 6)  # fmt: skip
pixels("occlusion", "Occlusion", "regions.occlusion", "what the score loses where a square is covered",
       "Zeiler & Fergus, ECCV 2014, arXiv:1311.2901",
       (Parameter("window", 0.15, "the square's side, as a share of the image's", 0.01, 0.9),
        Parameter("stride", 0.5, "as a share of the window", 0.05, 1), BASE),
       "1 forward for each square", lambda given: (1 / (given["window"] * given["stride"])) ** 2)  # fmt: skip
pixels("feature_ablation", "Feature ablation", "regions.feature_ablation", "what the score loses without each region",
       "Captum", (*OF_REGIONS, BASE), "1 forward for each region", lambda given: given["count"] + 1)  # fmt: skip
pixels("lime", "LIME", "regions.lime", "a linear model of the score over regions, fitted near the image",
       "Ribeiro et al., KDD 2016, arXiv:1602.04938", FITTED, "1 forward for each sample", lambda given: given["samples"])  # fmt: skip
pixels("kernel_shap", "KernelSHAP", "regions.kernel_shap", "Shapley values of regions, by weighted regression",
       "Lundberg & Lee, NIPS 2017, arXiv:1705.07874", FITTED, "1 forward for each sample", lambda given: given["samples"], complete=True)  # fmt: skip
