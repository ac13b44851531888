// Copyright 2026 ciae_ros maintainers
// SPDX-License-Identifier: Apache-2.0

// Print the things in every frame of panoptic_node, with the areas counted in the label image.
//
//   ros2 run ciae_examples consume_labels --ros-args -p outputs:=/panoptic_node/front    # for several cameras

#include <cstdint>
#include <cstring>
#include <iomanip>
#include <iostream>
#include <map>
#include <memory>
#include <string>

#include <ciae_msgs/msg/panoptic_segments.hpp>
#include <rclcpp/rclcpp.hpp>
#include <rclcpp/version.h>
#include <sensor_msgs/msg/image.hpp>

#if RCLCPP_VERSION_GTE(29, 0, 0)  // Kilted and newer
#include <message_filters/subscriber.hpp>
#include <message_filters/sync_policies/exact_time.hpp>
#include <message_filters/synchronizer.hpp>
#else  // Jazzy
#include <message_filters/subscriber.h>
#include <message_filters/sync_policies/exact_time.h>
#include <message_filters/synchronizer.h>
#endif

using ciae_msgs::msg::PanopticSegments;
using sensor_msgs::msg::Image;

constexpr int DEPTH = 2;

// Reliable, like the publishers of the node.
#if RCLCPP_VERSION_GTE(29, 0, 0)
const rclcpp::QoS QOS(DEPTH);
#else
const rmw_qos_profile_t QOS = rclcpp::QoS(DEPTH).get_rmw_qos_profile();
#endif

// Matches each label image with its segments.
class LabelConsumer : public rclcpp::Node
{
public:
  LabelConsumer()
  : Node("consume_labels"),
    outputs_(declare_parameter("outputs", "/panoptic_node")),
    labels_(this, outputs_ + "/labels", QOS),
    segments_(this, outputs_ + "/segments", QOS),
    pairs_(ExactTime(DEPTH), labels_, segments_)
  {
    pairs_.registerCallback(&LabelConsumer::print_things, this);
  }

private:
  // Both messages have exactly the stamp of the camera's image.
  using ExactTime = message_filters::sync_policies::ExactTime<Image, PanopticSegments>;

  // Processes a frame.
  void print_things(const Image::ConstSharedPtr & labels, const PanopticSegments::ConstSharedPtr & table)
  {
    auto areas = count_pixels(*labels);
    std::string things;
    for (const auto & segment : table->segments) {
      if (segment.is_thing) {
        things += (things.empty() ? "" : ", ") + segment.category_name + ' ' + std::to_string(segment.id) + ": " +
          std::to_string(areas[segment.id]) + " px";
      }
    }
    const auto & stamp = table->header.stamp;
    std::cout << stamp.sec << '.' << std::setfill('0') << std::setw(9) << stamp.nanosec << "  "
              << (things.empty() ? "no things" : things) << std::endl;
  }

  // Counts the pixels of each segment id of a label image in this machine's byte order.
  static std::map<uint16_t, size_t> count_pixels(const Image & labels)
  {
    std::map<uint16_t, size_t> areas;
    for (uint32_t y = 0; y < labels.height; ++y) {
      const uint8_t * row = &labels.data[size_t{y} * labels.step];
      for (uint32_t x = 0; x < labels.width; ++x) {
        uint16_t id;
        std::memcpy(&id, row + x * sizeof id, sizeof id);
        ++areas[id];
      }
    }
    return areas;
  }

  std::string outputs_;
  message_filters::Subscriber<Image> labels_;
  message_filters::Subscriber<PanopticSegments> segments_;
  message_filters::Synchronizer<ExactTime> pairs_;
};

int main(int argc, char ** argv)
{
  rclcpp::init(argc, argv);
  rclcpp::spin(std::make_shared<LabelConsumer>());
  rclcpp::shutdown();
  return 0;
}
