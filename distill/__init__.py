"""Training: data sets, teachers, losses, distillation, quantisation-aware training, evaluation."""
