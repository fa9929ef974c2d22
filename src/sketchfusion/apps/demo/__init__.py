"""A small demo for notebooks, with Gradio (extra ``demo``), over the HTTP API of ``apps.web``."""

from __future__ import annotations

import os

from sketchfusion.apps.demo.launch import Demo, launch

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # Gradio reads it when it is imported, which ``launch`` does later
__all__ = ["Demo", "launch"]
