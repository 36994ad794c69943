"""What was loaded into which server, what was proved there, and which answers won.

Only the user can make it again, so it lies in the data directory and outlives a cleared cache.
It may import `cache` and the layers below it.
"""
