"""Remote tables → cache: keyset increments with an overlap, tombstones, reconcile, curves."""

from lora_tui.sync.curves import pull_curve
from lora_tui.sync.run import Progress, SyncReport, sync_cache

__all__ = ("Progress", "SyncReport", "pull_curve", "sync_cache")
