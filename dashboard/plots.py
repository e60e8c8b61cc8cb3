"""Charts drawn with Plotly, on a transparent ground so that they fit light and dark."""

from typing import TYPE_CHECKING, Any

from dashboard.components.markup import display_text
from models.training.charts import AnyChart, Bars, Chart, Matrix

if TYPE_CHECKING:
    import plotly.graph_objects as go

TEAL, ORANGE, GREY = "#12938a", "#d9692b", "#7d858c"
MANY = (
    "#12938a",
    "#d9692b",
    "#4c78c8",
    "#b455a8",
    "#8a9a1f",
    "#c94a4a",
    "#7a6bd1",
    "#3e9a4b",
    "#c08a1e",
    "#5aa9c9",
)
GRID = "rgba(128,128,128,.22)"
AXIS: dict[str, Any] = {
    "gridcolor": GRID,
    "zeroline": False,
    "automargin": True,
    "title": {"standoff": 6},
}
TEALS = [[0, "rgba(18,147,138,0)"], [1, "rgba(18,147,138,1)"]]


def figure(chart: AnyChart) -> "go.Figure":
    """The chart in Plotly: numbers on hover, a button that saves a PNG."""
    import plotly.graph_objects as go  # half a second, and not for the first screen

    drawn = go.Figure(_traces(chart))
    drawn.update_layout(
        title={"text": _text(chart.title), "font": {"size": 13}, "x": 0.01, "y": 0.98},
        height=330,
        margin={"l": 52, "r": 14, "t": 34, "b": 44},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 11, "color": GREY},
        legend={"font": {"size": 10}, "bgcolor": "rgba(0,0,0,0)"},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": GREY},
    )
    drawn.update_xaxes(**AXIS)
    drawn.update_yaxes(**AXIS)
    if isinstance(chart, Matrix):
        drawn.update_xaxes(title_text="predicted", showgrid=False, tickangle=-40)
        drawn.update_yaxes(title_text="true", showgrid=False, autorange="reversed")
    elif isinstance(chart, Bars):
        drawn.update_xaxes(title_text=chart.x, range=[0, 1.02])
        drawn.update_yaxes(showgrid=False, autorange="reversed")
        drawn.update_layout(
            legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom"}
        )
    else:
        _label(drawn, chart)
    return drawn


def _traces(chart: AnyChart) -> Any:
    if isinstance(chart, Matrix):
        return _heat(chart)
    return _bars(chart) if isinstance(chart, Bars) else _lines(chart)


def _bars(chart: Bars) -> list[Any]:
    import plotly.graph_objects as go

    names = [_text(name) for name in chart.names]
    shown: dict[str, Any] = {"y": names, "hovertemplate": "%{y}: %{x:.3f}"}
    bars = go.Bar(x=chart.values, orientation="h", name=_text(chart.x), marker={"color": TEAL}, **shown)
    mark = {"symbol": "line-ns-open", "color": ORANGE, "size": 11, "line": {"width": 2}}
    marks = go.Scatter(x=chart.marks, mode="markers", name=_text(chart.marked), marker=mark, **shown)
    return [bars, marks]


def _label(drawn: "go.Figure", chart: Chart) -> None:
    """Titles of the axes, the legend, and marks at values of x."""
    drawn.update_xaxes(title_text=chart.x)
    drawn.update_yaxes(title_text=chart.y)
    if chart.square:
        drawn.update_xaxes(range=[0, 1])
        drawn.update_yaxes(range=[0, 1.01])
    if len(chart.lines) <= 3:
        drawn.update_layout(
            legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom"}
        )
    for at, word in chart.marks:
        drawn.add_vline(
            at,
            line={"color": GREY, "width": 1, "dash": "dot"},
            annotation={"text": _text(word), "font": {"size": 10}, "yanchor": "top"},
        )


def _text(value: str) -> str:
    """Plotly reads texts as HTML of its own: escaped, they are shown as they are."""
    return str(display_text(value))


def _lines(chart: Chart) -> "list[go.Scatter]":
    import plotly.graph_objects as go

    colors = (TEAL, ORANGE) if len(chart.lines) <= 2 else MANY
    drawn = []
    for i, line in enumerate(chart.lines):
        dashed = line.style == "dash"
        pen = {
            "color": GREY if dashed and chart.square else colors[i % len(colors)],
            "width": 1.8,
            "dash": "dash" if dashed else "solid",
        }
        drawn.append(
            go.Scatter(
                x=line.x,
                y=line.y,
                name=_text(line.name),
                mode="lines+markers" if len(line.x) < 30 and not dashed else "lines",
                line=pen,
                marker={"size": 4},
                hovertemplate="%{x:.3~g}: %{y:.3f}",
            )
        )
    return drawn


def _heat(chart: Matrix) -> "go.Heatmap":
    import plotly.graph_objects as go

    text = "%{z:.2f}" if chart.fraction else "%{z}"
    few = {"texttemplate": text, "textfont": {"size": 10}} if len(chart.classes) <= 12 else {}
    names = [_text(name) for name in chart.classes]
    return go.Heatmap(
        z=chart.values,
        x=names,
        y=names,
        colorscale=TEALS,
        showscale=False,
        xgap=1,
        ygap=1,
        hovertemplate=f"true %{{y}}, predicted %{{x}}: {text}<extra></extra>",
        **few,
    )
