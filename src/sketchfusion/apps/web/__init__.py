"""The page and its HTTP API: ``create_app`` in ``app``, started by ``sketchfusion serve``."""
