// PNG files by libpng's simplified interface. Native only.
#include <png.h>

#include "core/error.h"
#include "data/load.h"

namespace espalier {

Image read_png(const std::string& path, int channels) {
  const auto fail = [&](const std::string& message) {
    throw Error(ErrorCode::kData, path, "is no PNG that can be read (" + message + ")");
  };
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  if (!png_image_begin_read_from_file(&png, path.c_str())) fail(png.message);
  constexpr png_uint_32 kMaxExtent = 4096;
  if (png.width > kMaxExtent || png.height > kMaxExtent) {
    png_image_free(&png);
    fail("it is larger than 4096 pixels");
  }
  if (channels == 0) channels = (png.format & PNG_FORMAT_FLAG_COLOR) != 0 ? 3 : 1;
  png.format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;

  const auto pixels = static_cast<std::size_t>(png.width) * png.height;
  std::vector<std::uint8_t> interleaved(PNG_IMAGE_SIZE(png));
  const png_color black{};  // transparent pixels are background
  if (!png_image_finish_read(&png, &black, interleaved.data(), 0, nullptr)) fail(png.message);
  Image image{
      .channels = channels, .height = static_cast<int>(png.height), .width = static_cast<int>(png.width)};
  image.pixels.resize(interleaved.size());
  const auto count = static_cast<std::size_t>(channels);
  for (std::size_t i = 0; i < pixels; ++i) {
    for (std::size_t c = 0; c < count; ++c) image.pixels[c * pixels + i] = interleaved[i * count + c];
  }
  return image;
}

}  // namespace espalier
