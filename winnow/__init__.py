"""winnow: curate pretraining data and measure in the same run whether it helped."""
