"""The dashboard: a process of its own that looks at a campaign, and acts only when asked to."""
