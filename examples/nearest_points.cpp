// Copyright 2026 ciae_ros maintainers
// SPDX-License-Identifier: Apache-2.0

// Print, for every frame of panoptic_3d, the distance of the nearest point of each category.
//
//   ros2 run ciae_examples nearest_points --ros-args -p points:=/panoptic_3d/points

#include <cmath>
#include <cstdint>
#include <iomanip>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <sstream>
#include <string>

#include <rclcpp/rclcpp.hpp>
#include <sensor_msgs/msg/point_cloud2.hpp>
#include <sensor_msgs/point_cloud2_iterator.hpp>

using sensor_msgs::PointCloud2ConstIterator;
using sensor_msgs::msg::PointCloud2;

// Reads the labelled points.
class NearestPoints : public rclcpp::Node
{
public:
  NearestPoints()
  : Node("nearest_points")
  {
    // Reliable, like the publisher of the node.
    subscription_ = create_subscription<PointCloud2>(
      declare_parameter("points", "/panoptic_3d/points"), rclcpp::QoS(2),
      [](const PointCloud2::ConstSharedPtr & cloud) {print_nearest(*cloud);});
  }

private:
  // Processes a frame.
  static void print_nearest(const PointCloud2 & cloud)
  {
    std::map<uint16_t, float> nearest;
    PointCloud2ConstIterator<float> x(cloud, "x"), y(cloud, "y"), z(cloud, "z");
    PointCloud2ConstIterator<uint16_t> category(cloud, "category_id");
    for (; x != x.end(); ++x, ++y, ++z, ++category) {
      const float distance = std::sqrt(*x * *x + *y * *y + *z * *z);
      const auto found = nearest.emplace(*category, std::numeric_limits<float>::infinity()).first;
      // Missing points of an organised cloud are NaN, which is not less.
      if (distance < found->second) {
        found->second = distance;
      }
    }
    std::ostringstream text;
    text << std::fixed << std::setprecision(2);
    for (const auto & [id, distance] : nearest) {
      text << (text.tellp() > 0 ? ", " : "") << id << ": " << distance << " m";
    }
    const auto & stamp = cloud.header.stamp;
    std::cout << stamp.sec << '.' << std::setfill('0') << std::setw(9) << stamp.nanosec << "  " << text.str()
              << std::endl;
  }

  rclcpp::Subscription<PointCloud2>::SharedPtr subscription_;
};

int main(int argc, char ** argv)
{
  rclcpp::init(argc, argv);
  rclcpp::spin(std::make_shared<NearestPoints>());
  rclcpp::shutdown();
  return 0;
}
