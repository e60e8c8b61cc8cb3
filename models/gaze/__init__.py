"""What people look at: data with fixations, networks that predict them, and how those are trained."""
