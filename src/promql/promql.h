/*
 * The door of `promql`: expressions over time series.
 */
#ifndef QUARRY_PROMQL_PROMQL_H
#define QUARRY_PROMQL_PROMQL_H

#include <promql/annotate.h>
#include <promql/ast.h>
#include <promql/classic.h>
#include <promql/engine.h>
#include <promql/function.h>
#include <promql/histogram_sum.h>
#include <promql/histogram_text.h>
#include <promql/histogram_value.h>
#include <promql/histogram_walk.h>
#include <promql/memory.h>
#include <promql/number.h>
#include <promql/parse.h>
#include <promql/print.h>
#include <promql/script.h>
#include <promql/source.h>
#include <promql/text.h>
#include <promql/tsdb_source.h>

#endif
