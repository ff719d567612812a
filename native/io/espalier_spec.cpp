#include "io/espalier_spec.h"

#include <algorithm>

#include "core/error.h"
#include "graph/assemble.h"
#include "ops/op.h"

namespace espalier::espl {
namespace {

class Spec {
 public:
  explicit Spec(EspalierCoder& coder) : coder_(coder) {}

  void code(const Graph* source, Graph& graph) {
    std::size_t count = 0;
    if (source) {
      graph.name = source->name;
      graph.input = source->input;
      graph.classes = source->classes;
      count = source->nodes.size();
    }
    coder_.text(graph.name);
    Shape& shape = graph.input.shape;
    coder_.whole(shape.channels, 0, 1, 1024);
    coder_.whole(shape.height, 1, 1, 4096);
    coder_.whole(shape.width, 1, 1, 4096);
    channel_numbers(graph.input.mean, shape.channels, 0);
    channel_numbers(graph.input.standard_deviation, shape.channels, 1);
    if (!graph.input.is_normalisation_in_range()) refuse("has a mean or a standard deviation out of range");
    coder_.whole(graph.classes, 2, 2, 65536);
    coder_.whole(count, 3, 1, kMostLayers);
    for (std::size_t i = 0; i < count; ++i) layer(source ? &source->nodes[i] : nullptr, graph);
    finish(graph);
  }

 private:
  void channel_numbers(std::vector<double>& numbers, int channels, std::uint32_t what) {
    const bool given = coder_.flag(!numbers.empty(), Contexts(kSpecFlag).add(what));
    numbers.resize(given ? static_cast<std::size_t>(channels) : 0);
    for (double& number : numbers) coder_.real64(number, what);
  }

  void layer(const Node* source, Graph& graph) {
    const auto ops = op_types();
    const int previous = static_cast<int>(graph.nodes.size());
    std::uint32_t type = 0;
    Node node;
    if (source) {
      type = static_cast<std::uint32_t>(std::find(ops.begin(), ops.end(), source->op) - ops.begin());
      node.inputs = source->inputs;
      node.name = source->name;
    }
    type = coder_.symbol(type, 6, Contexts(kOpIndex).add(0).add(last_type_ + 1));
    if (type >= ops.size())
      refuse("has a layer of a type that is not known here; a newer version may read it");
    last_type_ = type;
    node.op = ops[type];
    const bool named =
        coder_.flag(node.name != automatic_name(*node.op, graph.nodes.size()), Contexts(kSpecFlag).add(2));
    if (named) {
      coder_.text(node.name);
    } else {
      node.name.clear();
    }
    inputs(node.inputs, previous);
    for (std::size_t i = 0; i < node.op->fields.size(); ++i) {
      field(source, node, node.op->fields[i], type * 32 + static_cast<std::uint32_t>(i), graph.classes);
    }
    add_node(graph, std::move(node));
  }

  void inputs(std::vector<int>& inputs, int previous) {
    if (!coder_.flag(inputs != std::vector<int>{previous}, Contexts(kSpecFlag).add(3))) {
      inputs = {previous};
      return;
    }
    std::size_t count = inputs.size();
    coder_.whole(count, 4, 0, 64);
    inputs.resize(count);
    for (int& input : inputs) {
      int back = previous - input;
      coder_.whole(back, 5, 0, previous);
      input = previous - back;
    }
  }

  // Whether the layer comes out the same with these attributes as in `source`.
  static bool same(const Node& source, const Attributes& attributes, const Field& field, int classes) {
    Node trial;
    trial.op = source.op;
    trial.name = source.name;
    trial.in_shapes = source.in_shapes;
    trial.attributes = attributes;
    if (trial.attributes.units == Attributes::kClasses) trial.attributes.units = classes;
    try {
      trial.op->configure(trial);
    } catch (const Error&) {
      return false;
    }
    return trial.out_shape == source.out_shape &&
           std::visit([&](auto member) { return trial.attributes.*member == source.attributes.*member; },
                      field.target);
  }

  // 0: the default; 1: the keyword, or "same" padding; 2: the value itself.
  void field(const Node* source, Node& node, const Field& field, std::uint32_t what, int classes) {
    std::visit([&](auto member) { this->field(source, node, field, member, what, classes); }, field.target);
  }

  template <class Member>
  void field(const Node* source, Node& node, const Field& field, Member member, std::uint32_t what,
             int classes) {
    constexpr bool is_int = std::is_same_v<Member, int Attributes::*>;
    constexpr bool is_padding = std::is_same_v<Member, Padding Attributes::*>;
    std::uint32_t form = 0;
    if (source) {
      // The fields behind this one as they are: they may depend on each other.
      Attributes trial = source->attributes;
      trial.*member = Attributes{}.*member;
      if (field.required || !same(*source, trial, field, classes)) {
        form = 2;
        if constexpr (is_int) trial.*member = field.keyword_value;
        if constexpr (is_padding) (trial.*member).mode = Padding::Mode::kSame;
        const bool has_word = is_padding || !field.keyword.empty();
        if (has_word && same(*source, trial, field, classes)) form = 1;
      }
    }
    form = coder_.symbol(form, 2, Contexts(kSpecField).add(what));
    if (form == 0 && field.required) refuse("leaves out a field that its layer needs");
    if (form == 1 && !is_padding && field.keyword.empty()) refuse("has a word for a field that knows none");
    if (form == 1) {
      if constexpr (is_int) node.attributes.*member = field.keyword_value;
      if constexpr (is_padding) (node.attributes.*member).mode = Padding::Mode::kSame;
    } else if (form == 2) {
      if (source) node.attributes.*member = source->attributes.*member;
      value(node.attributes.*member, field, what + 16);
    } else if (form == 3) {
      refuse("has a field of a form that is not known here; a newer version may read it");
    }
  }

  void value(int& number, const Field& field, std::uint32_t what) {
    coder_.whole(number, what, field.minimum, field.maximum);
  }
  void value(double& number, const Field& field, std::uint32_t what) {
    coder_.real64(number, what);
    if (!(number >= field.minimum && number <= field.maximum))
      refuse("has a number that is out of its range");
  }
  void value(bool& truth, const Field&, std::uint32_t what) {
    truth = coder_.flag(truth, Contexts(kSpecFlag).add(what));
  }
  void value(Pair& pair, const Field& field, std::uint32_t what) {
    coder_.whole(pair.height, what, field.minimum, field.maximum);
    coder_.whole(pair.width, what, field.minimum, field.maximum);
  }
  void value(Padding& padding, const Field& field, std::uint32_t what) {
    for (int* side : {&padding.top, &padding.left, &padding.bottom, &padding.right}) {
      coder_.whole(*side, what, field.minimum, field.maximum);
    }
  }
  void value(WeightQuantization& q, const Field&, std::uint32_t what) {
    const auto schemes = quantization_schemes();
    auto scheme = static_cast<std::uint32_t>(
        coder_.reading() ? 0 : std::find(schemes.begin(), schemes.end(), q.scheme) - schemes.begin());
    scheme = coder_.symbol(scheme, 4, Contexts(kSpecField).add(what));
    if (scheme >= schemes.size()) {
      refuse("has weights of a scheme that is not known here; a newer version may read it");
    }
    q.scheme = schemes[scheme];
    coder_.whole(q.bits, 6, 1, 8);
    int granularity = static_cast<int>(q.granularity);
    coder_.whole(granularity, 7, 0, 2);
    q.granularity = static_cast<Granularity>(granularity);
    coder_.whole(q.group_size, 8, 1, 1 << 20);
    q.learned = coder_.flag(q.learned, Contexts(kSpecFlag).add(4));
    q.pinned_zero = coder_.flag(q.pinned_zero, Contexts(kSpecFlag).add(5));
  }

  EspalierCoder& coder_;
  std::uint32_t last_type_ = 63;
};

}  // namespace

void code_spec(EspalierCoder& coder, const Graph* source, Graph& graph) { Spec(coder).code(source, graph); }

}  // namespace espalier::espl
