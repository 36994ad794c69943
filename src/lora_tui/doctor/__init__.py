"""What works here and what does not: checks that each end in a finding with evidence and remedy."""
