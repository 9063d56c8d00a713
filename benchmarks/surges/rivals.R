# Farrington Flexible and EARS C1 of package `surveillance`, for counts in a CSV file.
# usage: Rscript rivals.R counts.csv frequency first_judged out.csv; a row a series, a column a bucket.
suppressMessages(library(surveillance))
args <- commandArgs(trailingOnly = TRUE)
counts <- as.matrix(read.csv(args[1], header = FALSE))
frequency <- as.integer(args[2])
judged <- as.integer(args[3]):ncol(counts)
one <- function(row) {
  observed <- sts(observed = row, frequency = frequency, start = c(2000, 1))
  control <- list(
    range = judged, b = 5, w = 3, noPeriods = 10, reweight = TRUE, weightsThreshold = 2.58,
    trend = TRUE, pThresholdTrend = 1, thresholdMethod = "nbPlugin", alpha = 0.01,
    pastWeeksNotIncluded = 26, limit54 = c(0, 1)
  )
  said <- tryCatch(suppressWarnings(farringtonFlexible(observed, control)), error = function(e) NULL)
  if (is.null(said)) rep(1, length(judged)) else as.vector(said@control$pvalue)
}
cost <- system.time(out <- t(apply(counts, 1, one)))
write.table(out, args[4], sep = ",", row.names = FALSE, col.names = FALSE)
cat(cost[["user.self"]] / length(out) * 1e6, "\n")
