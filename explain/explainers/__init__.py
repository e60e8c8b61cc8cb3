"""The methods themselves: functions from a pass or a case to raw maps, one file a family."""
