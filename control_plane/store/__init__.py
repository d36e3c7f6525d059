"""The leads store: observation log, current view, filters and exports, in a worker process beside the API.

``client`` (and ``models``, ``options``, ``wire``) is what the API process imports; everything else pulls in Polars
and Delta and belongs to the worker. docs/decisions/0003 says why and how it is laid out.
"""
