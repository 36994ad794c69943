// The star rating in JavaScript's own arithmetic, written from the rule's description, so that
// ours can be held against a JavaScript engine. Reads a JSON list of metric lists from stdin.
const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));

function rate(points) {
  if (points.length === 0) {
    return {
      overall_score: 3, convergence_quality: "unknown", final_training_loss: null,
      final_validation_loss: null, perplexity: null,
    };
  }
  const start = points[0].training_loss;
  const end = points[points.length - 1].training_loss;
  const validation = points[points.length - 1].validation_loss;
  const reduction = ((start - end) / start) * 100;
  let verdict = ["poor", 1];
  if (reduction > 50) verdict = ["excellent", 5];
  else if (reduction > 30) verdict = ["good", 4];
  else if (reduction > 15) verdict = ["fair", 3];
  else if (reduction > 5) verdict = ["poor", 2];
  if (validation && end && validation - end > 0.5) {
    verdict = ["overfit", Math.max(2, verdict[1] - 1)];
  }
  return {
    overall_score: verdict[1], convergence_quality: verdict[0], final_training_loss: end,
    final_validation_loss: validation, perplexity: validation ? Math.exp(validation) : null,
    loss_reduction_percent: reduction,
  };
}

console.log(JSON.stringify(cases.map(rate)));
