"""What the tabs share while people look: the context, images, services, jobs."""
