"""Move, suspend and resume an organisation of the tree, after a preview of what that changes below it."""
