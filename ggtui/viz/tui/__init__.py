"""The full screen: an app over what a run recorded, live or saved."""
