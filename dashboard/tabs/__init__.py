"""One file a tab: `TITLE` and `build(ctx)`. The order here is the order on the page."""

from dashboard.tabs import errors, inspect, train

TABS = (errors, inspect, train)
