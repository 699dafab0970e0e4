#include "serve/service.h"

#include <new>

#include "base/error.h"

namespace aviary {

void load_model(Service& service, const std::string& model) {
  try {
    service.load(model);
  } catch (const TaskFailure& failure) {
    throw Error(failure.error().message);
  }
}

TaskError task_error_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const TaskFailure& failure) {
    return failure.error();
  } catch (const std::bad_alloc&) {
    return {.kind = TaskError::Kind::overloaded, .message = "there is not enough memory for this request"};
  } catch (const std::exception& e) {
    return {.kind = TaskError::Kind::internal, .message = e.what()};
  } catch (...) {
    return {.kind = TaskError::Kind::unavailable, .message = "the server is ending"};
  }
}

}  // namespace aviary
