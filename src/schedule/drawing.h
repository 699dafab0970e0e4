// Figures of runs and of the laws that were fitted to them.
#pragma once

#include <span>
#include <string>

#include "schedule/fit.h"
#include "schedule/proposal.h"

namespace aviary {

// The measured losses of runs, and those that both laws give for their learning rates (dashed). SVG.
std::string draw_losses(std::span<const LossCurve> curves, const MultiPowerLaw& law,
                        const RelaxationLaw& relaxation, double from_step);

// The learning rates of runs and, dashed, the proposed ones and the best ones of the relaxation law. SVG.
std::string draw_rates(std::span<const LossCurve> curves, const RateCurve& proposed, const RateCurve& best);

}  // namespace aviary
