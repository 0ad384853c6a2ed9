"""Why it is so: one file a family of rules, each rule a function from what was counted to a sentence with its proof."""
