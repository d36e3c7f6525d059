"""Erasure and the opt-out list: what is removed, and what may not be collected again.

``opt_outs`` is pure, ``registry`` the store's side that every API process has, ``lua`` its state changes. What removes
rows, events and files runs in the leads store's worker: ``control_plane.store.erasing``. docs/decisions/0011 says why.
"""
