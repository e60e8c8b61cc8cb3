"""One file a tab: `TITLE` and `build(ctx)`. The order here is the order on the page."""

from dashboard.tabs import errors, filters, inspect, layers, train

TABS = (errors, inspect, layers, filters, train)
