// SPDX-License-Identifier: Apache-2.0
// The Python module stackrig._core: what the harness computes in C++.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>

#include "bootstrap.h"
#include "histogram.h"
#include "page_reader.h"

namespace py = pybind11;
using namespace stackrig::core;

namespace {

using Matrix = py::array_t<double, py::array::c_style | py::array::forcecast>;

Matrix medians(const Matrix& values, bool paired, std::uint64_t seed, std::size_t draws) {
  if (values.ndim() != 2)
    throw std::invalid_argument("values: expected rows (series) x columns (repetitions)");
  const auto rows = static_cast<std::size_t>(values.shape(0));
  const auto columns = static_cast<std::size_t>(values.shape(1));
  const Trials trials{{values.data(), rows * columns}, rows, columns};
  std::vector<double> found;
  {
    const py::gil_scoped_release released;
    found =
        bootstrap_medians(trials, paired ? Resample::repetitions : Resample::each_row, seed, draws);
  }
  Matrix result({rows, draws});
  std::copy(found.begin(), found.end(), result.mutable_data());
  return result;
}

void bind_histogram(py::module_& m) {
  py::class_<Histogram>(m, "Histogram", "Counted values in loglinear-6 buckets; merged by adding.")
      .def(py::init<>())
      .def_static(
          "from_buckets",
          [](const std::vector<Bucket>& buckets) { return Histogram::from_buckets(buckets); },
          py::arg("buckets"), "From a record's [[lower_bound, count], ...].")
      .def("record", &Histogram::record, py::arg("value"))
      .def("merge", &Histogram::merge, py::arg("other"))
      .def("quantile", &Histogram::quantile, py::arg("q"),
           "Upper bound of the bucket at quantile q in [0, 1].")
      .def("buckets", &Histogram::buckets,
           "[(lower_bound, count), ...] of the buckets that hold something.")
      .def_property_readonly("count", [](const Histogram& h) { return h.data().count; })
      .def_property_readonly("sum", [](const Histogram& h) { return h.data().sum; })
      .def_property_readonly("min", [](const Histogram& h) { return h.data().min; })
      .def_property_readonly("max", [](const Histogram& h) { return h.data().max; })
      .def_property_readonly("mean", &Histogram::mean);
}

void bind_page(py::module_& m) {
  py::class_<PageContents>(m, "TelemetryPage", "A telemetry page as it was at one moment.")
      .def_readonly("pid", &PageContents::pid)
      .def_readonly("finished", &PageContents::finished)
      .def_readonly("values", &PageContents::values)
      .def_readonly("units", &PageContents::units)
      .def_readonly("histograms", &PageContents::histograms)
      .def_readonly("texts", &PageContents::texts);
  m.def(
      "read_page", &read_page, py::arg("path"),
      "Reads a telemetry page, also while its writer runs. OSError or ValueError names the file.");
}

}  // namespace

PYBIND11_MODULE(_core, m) {
  m.doc() = "What the harness computes in C++: the bootstrap, histograms, telemetry pages.";
  py::register_local_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const std::system_error& e) {
      PyErr_SetObject(PyExc_OSError, py::make_tuple(e.code().value(), e.what()).ptr());
    }
  });
  m.def("bootstrap_medians", &medians, py::arg("values"), py::arg("paired"), py::arg("seed"),
        py::arg("draws") = std::size_t{10'000},
        "Medians of resampled rows (series x repetitions, NaN: no such trial): rows x draws.");
  bind_histogram(m);
  bind_page(m);
}
