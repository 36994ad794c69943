"""What a screen may ask for: all calls that change the cache or reach the network."""
