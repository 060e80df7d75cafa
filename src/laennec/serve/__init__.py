"""Bundles as a service over HTTP, and its page. Loads no torch for ONNX bundles.

supervisor   holds the socket, starts a worker, starts another when it dies
worker       the process that answers
  doorway      ids, keys, places a request may come from, headers, faults
  app          the routes
  service      bytes to an answer
    reading      processes that decode
    engine       the model, in batches
"""

from __future__ import annotations

from laennec.serve.settings import Settings
from laennec.serve.supervisor import serve

__all__ = ["Settings", "serve"]
