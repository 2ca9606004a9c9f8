"""What tools/bench is made of: a plan of steps, a sitting that records their lines, comparisons read from a recording,
a page of them, and the check of one sitting against another."""
