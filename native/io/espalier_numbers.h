// The numbers of an .espalier file: the mask and the parameters of a model, tensor after tensor.
#pragma once

#include "graph/model.h"
#include "io/espalier_coder.h"

namespace espalier::espl {

// Writes the numbers of `model` and changes nothing, or reads them into it. Error{kModel}.
void code_numbers(EspalierCoder& coder, Model& model);

}  // namespace espalier::espl
